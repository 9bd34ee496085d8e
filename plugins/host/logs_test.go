package host

import "testing"

func FuzzReadLine(f *testing.F) {
	f.Add([]byte("a\nb"), []byte("c\n\n"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		l := &lineLog{}
		for _, p := range [][]byte{a, b} {
			if n, err := l.Write(p); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
		}
		if len(l.last()) > tailLines+crashLines+1 {
			t.Fatal("too long")
		}
	})
}
