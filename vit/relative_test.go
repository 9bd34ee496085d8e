package vit

import "testing"

// The offsets of a 2×3 grid by hand: 3·5 offsets and the three rows of the class token.
func TestRelativePositions(t *testing.T) {
	index, rows := RelativePositions(2, 3)
	if rows != 18 {
		t.Fatalf("%d table rows, want 18", rows)
	}
	at := func(q, k int) int32 { return index[q*7+k] }
	for _, tc := range []struct {
		q, k int
		want int32
	}{
		{0, 0, 17}, {0, 4, 15}, {5, 0, 16},
		{1, 1, 1*5 + 2}, // no offset
		{1, 6, 0*5 + 0}, // query top left, key bottom right
		{6, 1, 2*5 + 4}, // the other way round
		{2, 1, 1*5 + 3}, // one column to the right of the key
		{4, 1, 2*5 + 2}, // one row below the key
		{3, 4, 0*5 + 4}, // top right against bottom left
	} {
		if got := at(tc.q, tc.k); got != tc.want {
			t.Errorf("query %d, key %d: row %d, want %d", tc.q, tc.k, got, tc.want)
		}
	}
}
