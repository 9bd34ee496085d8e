// Command protogen writes the Go code of a .proto file without protoc: it
// compiles the file itself and hands the result to the two generators, which are
// fetched as Go modules at the versions that made the committed code.
//
//	go run . -proto ../../plugins/objective.proto -out DIR
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// generators are the programs that turn a compiled file into Go.
var generators = []string{
	"google.golang.org/protobuf/cmd/protoc-gen-go",
	"google.golang.org/grpc/cmd/protoc-gen-go-grpc",
}

// compiler is the protoc version that the generators print into their output.
var compiler = &pluginpb.Version{Major: proto.Int32(7), Minor: proto.Int32(35), Patch: proto.Int32(1)}

func main() {
	log.SetFlags(0)
	log.SetPrefix("protogen: ")
	file := flag.String("proto", "", "the .proto file")
	out := flag.String("out", "", "folder to write the Go files to")
	flag.Parse()
	if *file == "" || *out == "" {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*file, *out); err != nil {
		log.Fatal(err)
	}
}

func run(file, out string) error {
	name := filepath.Base(file)
	c := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
			ImportPaths: []string{filepath.Dir(file)},
		}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := c.Compile(context.Background(), name)
	if err != nil {
		return fmt.Errorf("compiling %s: %w", file, err)
	}
	request := &pluginpb.CodeGeneratorRequest{
		FileToGenerate:  []string{name},
		Parameter:       proto.String("paths=source_relative"),
		ProtoFile:       dependencies(files[0], map[string]bool{}),
		CompilerVersion: compiler,
	}
	in, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	for _, g := range generators {
		if err := generate(g, in, out); err != nil {
			return fmt.Errorf("%s: %w", g, err)
		}
	}
	return nil
}

// dependencies returns f and all it imports, imports first, as the generators want them.
func dependencies(f linker.File, seen map[string]bool) []*descriptorpb.FileDescriptorProto {
	if seen[f.Path()] {
		return nil
	}
	seen[f.Path()] = true
	var all []*descriptorpb.FileDescriptorProto
	for i := range f.Imports().Len() {
		all = append(all, dependencies(f.FindImportByPath(f.Imports().Get(i).Path()), seen)...)
	}
	return append(all, protoutil.ProtoFromFileDescriptor(f))
}

func generate(generator string, request []byte, out string) error {
	cmd := exec.Command("go", "run", generator)
	cmd.Stdin = bytes.NewReader(request)
	cmd.Stderr = os.Stderr
	answer, err := cmd.Output()
	if err != nil {
		return err
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(answer, &response); err != nil {
		return err
	}
	if response.Error != nil {
		return fmt.Errorf("%s", response.GetError())
	}
	for _, f := range response.File {
		if err := os.WriteFile(filepath.Join(out, f.GetName()), []byte(f.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
