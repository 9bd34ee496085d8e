package tensor

import (
	"bytes"
	"testing"

	"github.com/vittool/vittool/internal/must"
)

// TestOneFlippedBit flips every bit of a file in turn, metadata included: each is noticed when the
// file is read or its digests are verified.
func TestOneFlippedBit(t *testing.T) {
	var b bytes.Buffer
	tensors := []Tensor{
		NewF32("a.weight", Shape{2, 3}, []float32{1, 2, 3, 4, 5, 6}),
		NewI64("b", Shape{}, []int64{7}),
	}
	must.Do(t, EncodeSafetensors(&b, tensors, map[string]string{"step": "12", "config": "seed: 1\n"}))
	for i := range b.Len() * 8 {
		data := bytes.Clone(b.Bytes())
		data[i/8] ^= 1 << (i % 8)
		if f, err := DecodeSafetensors(data); err == nil && f.VerifyDigest() == nil {
			t.Errorf("bit %d of byte %d was flipped, and nobody noticed", i%8, i/8)
		}
	}
	f := must.Get(DecodeSafetensors(b.Bytes()))(t)
	if err := f.VerifyDigest(); err != nil {
		t.Error(err)
	}
}
