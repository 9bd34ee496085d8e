package tensor

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// sniffed is the number of bytes at the start of a file that its format is recognized by.
const sniffed = 1024

// Remedies for files of other formats.
const (
	fromTorch  = "convert it in Python: `from safetensors.torch import save_file`, then `save_file(torch.load(FILE, map_location=\"cpu\", weights_only=True), \"weights.safetensors\")`, where the dictionary of tensors may lie under a key such as \"model\" or \"state_dict\""
	fromArrays = "convert it in Python with safetensors.numpy.save_file, tensors under timm's names"
	needsTimm  = "take the PyTorch weights that it was made from and save them with safetensors.torch.save_file, under timm's names"
	noWeights  = "name a safetensors file, a checkpoint or the folder of a run"
)

// magics are the first bytes of well-known formats.
var magics = []struct{ magic, format, remedy string }{
	{"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras, .h5)", fromArrays},
	{"GGUF", "a GGUF file", needsTimm},
	{"\x93NUMPY", "a NumPy array (.npy)", fromArrays},
	{"\x1f\x8b", "a gzip file", "unpack it first"},
	{"version https://git-lfs", "a pointer of Git LFS, without the file itself", "fetch the file with `git lfs pull`"},
	{"<!DOCTYPE", "a web page", "download the file itself"},
	{"<html", "a web page", "download the file itself"},
	{"\x89PNG\r\n", "a PNG image", noWeights},
	{"\xff\xd8\xff", "a JPEG image", noWeights},
	{"\x7fELF", "a program", noWeights},
}

// otherFormat recognizes the start of a file in another well-known format; nil for none.
func otherFormat(start []byte) *FormatError {
	for _, m := range magics {
		if bytes.HasPrefix(start, []byte(m.magic)) {
			return &FormatError{Format: m.format, Remedy: m.remedy}
		}
	}
	if len(start) < 10 || mayBeSafetensors(start) {
		return nil
	}
	switch {
	case bytes.HasPrefix(start, []byte("PK\x03\x04")):
		return zipFormat(start)
	case start[0] == 0x80 && start[1] >= 2 && start[1] <= 5:
		return &FormatError{Format: "a pickle (an old PyTorch checkpoint or Python objects)", Remedy: fromTorch}
	case len(start) > 262 && string(start[257:262]) == "ustar":
		return &FormatError{Format: "a tar archive", Remedy: "unpack it first"}
	case start[0] == 0x08 && start[1] > 1 && start[1] < 0x20 && (start[2] == 0x12 || start[2] == 0x3a): // ir_version, then producer_name or graph
		return &FormatError{Format: "an ONNX model", Remedy: needsTimm}
	case string(start[4:8]) == "TFL3":
		return &FormatError{Format: "a TensorFlow Lite model", Remedy: needsTimm}
	case isText(start):
		return &FormatError{Format: "a text file (YAML, JSON, a list or the like)", Remedy: noWeights}
	}
	return nil
}

// notSafetensors is the error of a file of an unknown format. It doesn't begin with the length of a
// header and a brace, as safetensors files do.
func notSafetensors(start []byte) *FormatError {
	if mayBeSavedModel(start) {
		return &FormatError{Format: "a TensorFlow model (.pb, protobuf)", Remedy: needsTimm}
	}
	return &FormatError{Format: fmt.Sprintf("a file of an unknown format (first bytes % x)", start[:min(len(start), 8)]), Remedy: noWeights}
}

// mayBeSavedModel recognizes a frozen graph, which begins with a node (field 1) that has a name
// (field 1), and a saved model, which begins with schema version 1 and a graph (fields 1 and 2).
func mayBeSavedModel(start []byte) bool {
	if bytes.HasPrefix(start, []byte("\x08\x01\x12")) {
		return true
	}
	if start[0] != 0x0a {
		return false
	}
	_, length := binary.Uvarint(start[1:])
	if length <= 0 {
		return false
	}
	node := start[1+length:]
	if len(node) < 2 || node[0] != 0x0a || node[1] == 0 {
		return false
	}
	name := node[2:min(2+int(node[1]), len(node))]
	return bytes.IndexFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// isText reports whether bytes, which may end within a letter, are UTF-8 without control characters
// but those of lines.
func isText(start []byte) bool {
	for i, r := range string(start) {
		broken := r == utf8.RuneError && i < len(start)-utf8.UTFMax
		if broken || unicode.IsControl(r) && !strings.ContainsRune("\t\n\r\f", r) {
			return false
		}
	}
	return true
}

// mayBeSafetensors reports whether a header of possible length begins as JSON does.
func mayBeSafetensors(start []byte) bool {
	return binary.LittleEndian.Uint64(start) <= maxHeader && start[8] == '{'
}

// zipFormat tells archives apart by the name of their first entry.
func zipFormat(start []byte) *FormatError {
	name := ""
	if len(start) >= 30 {
		n := int(binary.LittleEndian.Uint16(start[26:]))
		name = string(start[30:min(30+n, len(start))])
	}
	switch {
	case strings.HasSuffix(name, "/data.pkl"), strings.HasSuffix(name, "/version"), strings.HasSuffix(name, "/.format_version"):
		return &FormatError{Format: "a PyTorch checkpoint (.pth)", Remedy: fromTorch}
	case strings.HasSuffix(name, ".npy"):
		return &FormatError{Format: "an archive of NumPy arrays (.npz)", Remedy: fromArrays}
	}
	return &FormatError{Format: "a zip archive", Remedy: "unpack it first"}
}
