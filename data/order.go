package data

import "github.com/vittool/vittool/internal/prng"

// epochOrder is the order in which an epoch visits the samples: a permutation that seed and epoch
// decide, or the order of the source.
type epochOrder struct {
	epoch int
	ids   []int // nil: as in the source
	n     int
}

func newOrder(n int, seed uint64, epoch int, shuffle bool) *epochOrder {
	o := &epochOrder{epoch: epoch, n: n}
	if shuffle {
		o.ids = prng.New(seed, "data", "order", epoch).Perm(n)
	}
	return o
}

// at returns the sample at a place, places beyond the end wrapping around.
func (o *epochOrder) at(place int) int {
	place %= o.n
	if o.ids == nil {
		return place
	}
	return o.ids[place]
}
