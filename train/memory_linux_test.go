package train

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/vittool/vittool/internal/must"
)

// The least bound counts, and a file that can't be read sets none.
func TestSystemMemory(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64
		of    string
	}{
		{"nothing is known", nil, 0, ""},
		{"machine", map[string]string{"proc/meminfo": "MemTotal:  1000 kB\nSwapTotal: 24 kB\n"}, 1 << 20, "this machine has"},
		{"control group", map[string]string{
			"proc/meminfo": "MemTotal:  1000 kB\nSwapTotal: 1 kB\n", "proc/self/cgroup": "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "512000\n",
		}, 512000 + 1024, "its control group permits"},
		{"old control group", map[string]string{
			"proc/meminfo": "MemTotal:  1000 kB\n", "proc/self/cgroup": "5:cpu:/x\n4:hugetlb,memory:/c\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n", "sys/fs/cgroup/memory/c/memory.limit_in_bytes": "4096\n",
		}, 4096, "its control group permits"},
		{"no limits in it", map[string]string{"proc/meminfo": "MemTotal: 4 kB\n", "proc/self/cgroup": "0::/\nx\n"}, 4096, "this machine has"},
	} {
		root := t.TempDir()
		for name, text := range c.files {
			path := filepath.Join(root, name)
			must.Do(t, os.MkdirAll(filepath.Dir(path), 0o755))
			must.Do(t, os.WriteFile(path, []byte(text), 0o644))
		}
		if bytes, of := systemMemory(root); bytes != c.want || of != c.of {
			t.Errorf("%s: %d bytes, %q; want %d, %q", c.name, bytes, of, c.want, c.of)
		}
	}
	if bytes, of := systemMemory("/"); bytes <= 0 || of == "" {
		t.Errorf("this machine: %d bytes, %q", bytes, of)
	}
}
