package train

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/runs"
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
	e := must.Get(newEventFile(dir, 7))(t)
	must.Do(t, e.scalars(8, map[string]float64{"loss": 0.5, "lr": 0.001}))
	e.Close()
	names, _ := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*"))
	if len(names) != 1 {
		t.Fatalf("files: %v", names)
	}
	b := must.Get(os.ReadFile(names[0]))(t)
	payloads := records(t, b)
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

// records returns the payloads of an event file.
func records(t *testing.T, b []byte) (payloads [][]byte) {
	t.Helper()
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
	return payloads
}

// A resumed run hides the points that it computes again and no others: TensorBoard drops those at
// and after the step of a session's start.
func TestEventsOfResume(t *testing.T) {
	cfg := small(t)
	interrupt(t, cfg, 5)
	must.Do(t, os.Remove(filepath.Join(cfg.Run.Out, runs.CheckpointsDir, "step-00000005.safetensors")))
	pretrain(t, cfg, Options{Resume: true})                                          // from step 3
	names, err := filepath.Glob(filepath.Join(cfg.Run.Out, "events.out.tfevents.*")) // in the order of processes
	if err != nil || len(names) != 2 {
		t.Fatalf("files %v, error %v", names, err)
	}
	var points []uint64
	for _, name := range names {
		for _, payload := range records(t, contents(t, name)) {
			var step uint64
			start, scalars := false, 0
			eachField(t, payload, func(num protowire.Number, v []byte) {
				switch num {
				case eventStep:
					step, _ = protowire.ConsumeVarint(v)
				case eventSessionLog:
					start = true
				case eventSummary:
					scalars = bytes.Count(v, []byte("train/loss"))
				}
			})
			if start {
				points = slices.DeleteFunc(points, func(p uint64) bool { return p >= step })
			}
			if scalars > 0 {
				points = append(points, step)
			}
		}
	}
	if fmt.Sprint(points) != "[1 2 3 4 5 6 7 8]" {
		t.Errorf("points of steps %v", points)
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
