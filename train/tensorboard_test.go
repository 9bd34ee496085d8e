package train

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// The checksums are those that TensorFlow's own writer puts round these bytes.
func TestMaskedCRC(t *testing.T) {
	// RFC 3720, B.4: 32 zero bytes have CRC-32C 0x8a9136aa.
	crc := uint32(0x8a9136aa)
	if got, want := maskedCRC(make([]byte, 32)), (crc>>15|crc<<17)+0xa282ead8; got != want {
		t.Errorf("masked CRC is %#x, want %#x", got, want)
	}
}

func TestEventFileReadsBack(t *testing.T) {
	dir := t.TempDir()
	e, err := newEventFile(dir, 7)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.scalars(8, map[string]float64{"loss": 0.5, "lr": 0.001}); err != nil {
		t.Fatal(err)
	}
	e.Close()
	names, _ := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*"))
	if len(names) != 1 {
		t.Fatalf("files: %v", names)
	}
	b, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	var payloads [][]byte
	for len(b) > 0 {
		n := binary.LittleEndian.Uint64(b)
		if maskedCRC(b[:8]) != binary.LittleEndian.Uint32(b[8:]) {
			t.Fatal("checksum of a length is wrong")
		}
		p := b[12 : 12+n]
		if maskedCRC(p) != binary.LittleEndian.Uint32(b[12+n:]) {
			t.Fatal("checksum of a payload is wrong")
		}
		payloads, b = append(payloads, p), b[16+n:]
	}
	if len(payloads) != 3 {
		t.Fatalf("%d records, want version, session start and one event", len(payloads))
	}
	if !bytes.Contains(payloads[0], []byte("brain.Event:2")) {
		t.Error("the first record doesn't state the format")
	}
	got := map[string]float32{}
	eachField(t, payloads[2], func(num protowire.Number, v []byte) {
		if num != eventSummary {
			return
		}
		eachField(t, v, func(num protowire.Number, v []byte) {
			var tag string
			eachField(t, v, func(num protowire.Number, v []byte) {
				switch num {
				case valueTag:
					tag = string(v)
				case valueSimple:
					got[tag] = math.Float32frombits(binary.LittleEndian.Uint32(v))
				}
			})
		})
	})
	if got["loss"] != 0.5 || got["lr"] != 0.001 || len(got) != 2 {
		t.Errorf("scalars read back: %v", got)
	}
}

// eachField calls f with the contents of each field of a message.
func eachField(t *testing.T, b []byte, f func(protowire.Number, []byte)) {
	t.Helper()
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		m := protowire.ConsumeFieldValue(num, typ, b)
		if m < 0 {
			t.Fatal(protowire.ParseError(m))
		}
		v := b[:m]
		if typ == protowire.BytesType {
			v, _ = protowire.ConsumeBytes(b)
		}
		f(num, v)
		b = b[m:]
	}
}
