package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/internal/must"
)

// answering is an interpreter that answers as PyTorch's driver would: one line at the start, and
// one for every command.
const answering = `#!/bin/sh
if [ "$1" = -c ]; then exit 0; fi
echo '{"torch": "0", "threads": 1}'
while read -r command rest; do
	case $command in
	attention) echo '{"seconds": 0.5}' ;;
	step) echo '{"seconds": 0.25, "loss": 1}' ;;
	memory) echo '{"peak": 4000000000}' ;;
	quit) exit 0 ;;
	*) echo "{\"error\": \"no command $command\"}" ;;
	esac
done
`

func answeringPython(t *testing.T) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "python")
	must.Do(t, os.WriteFile(path, []byte(answering), 0o700))
	t.Setenv(PythonVariable, path)
}

// TestCompareAttention measures every shape against a peer that always takes half a second.
func TestCompareAttention(t *testing.T) {
	answeringPython(t)
	e := must.Get(device.NewCPU(0))(t)
	defer e.Close()
	list, err := CompareAttention(t.Context(), e, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != len(attentionShapes) {
		t.Fatalf("%d comparisons, want %d", len(list), len(attentionShapes))
	}
	for _, c := range list {
		if c.Theirs.Median != 0.5 || c.Ours.Median <= 0 || c.Ratio.Median != 0.5/c.Ours.Median || c.OfPeak.Median <= 0 {
			t.Errorf("%+v", c)
		}
	}
	var text strings.Builder
	writeAttention(&text, list)
	if got := text.String(); !strings.Contains(got, "8×197 tokens, 12 heads of 64") || strings.Count(got, "times faster") != len(list) {
		t.Errorf("report:\n%s", got)
	}
}

// TestCompareMemory lets a stand-in for this program report its memory.
func TestCompareMemory(t *testing.T) {
	answeringPython(t)
	program := filepath.Join(t.TempDir(), "vittool")
	const script = `#!/bin/sh
while [ $# -gt 0 ]; do
	if [ "$1" = --config ]; then file=$2; fi
	settings="$settings $1"
	shift
done
case "$settings" in *" train.accumulate=$ACCUMULATE "*" data.path=$IMAGES "*) ;; *) exit 1 ;; esac
peak=3000000000
if grep -q 'recompute: "*blocks' "$file"; then peak=2000000000; fi
echo "{\"step\": {\"parameters\": 100000000, \"peak_memory_bytes\": $peak}}"
`
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	cfg := small(t)
	t.Setenv("ACCUMULATE", "2")
	t.Setenv("IMAGES", cfg.Data.Path)
	cfg.Train.Accumulate = 2
	if m, err := CompareMemory(t.Context(), program, cfg, 1); err != nil || m.Plain != 3e9 || m.PeerBytes != 0 || m.Batch != 2*cfg.Train.BatchSize {
		t.Errorf("of two micro-batches: %+v, %v", m, err)
	}
	t.Setenv("ACCUMULATE", "1")
	m, err := CompareMemory(t.Context(), program, small(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	if m.Plain != 3e9 || m.Recomputed != 2e9 || m.PeerBytes != 4e9 || m.Weights != 1.6e9 {
		t.Errorf("%+v", m)
	}
	var text strings.Builder
	m.write(&text)
	for _, want := range []string{"0.75 of the peer's; without weights 0.58", "0.50 of the peer's; without weights 0.17"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in the report:\n%s", want, &text)
		}
	}
	t.Setenv(PythonVariable, filepath.Join(t.TempDir(), "python"))
	if m, err = CompareMemory(t.Context(), program, small(t), 1); err != nil || m.PeerBytes != 0 || m.Plain != 3e9 {
		t.Errorf("without PyTorch: %+v, %v", m, err)
	}
}
