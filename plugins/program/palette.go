package program

import "math"

// palettes keep the pixels of a view with less memory: an image decoded from bytes has at most 256
// values in a channel, normalized or not. There is one for each channel, and values are added to it
// as they come.
type palettes struct {
	plane    int // pixels of a channel
	channels []palette
}

// palette lists the values of a channel.
type palette struct {
	values []float32
	place  map[uint32]byte // by the bits of the value
}

// indexed is a view of a micro-batch [B, C, H, W].
type indexed struct {
	places []byte    // in the palettes
	pixels []float32 // in place of them where a palette is full
}

func newPalettes(channels, plane int) *palettes {
	p := &palettes{plane: plane, channels: make([]palette, channels)}
	for i := range p.channels {
		p.channels[i].place = map[uint32]byte{}
	}
	return p
}

// keep copies pixels into the memory of dst.
func (p *palettes) keep(dst *indexed, pixels []float32) {
	dst.places, dst.pixels = resized(dst.places, len(pixels)), dst.pixels[:0]
	for at := 0; at < len(pixels); at += p.plane {
		channel := &p.channels[at/p.plane%len(p.channels)]
		if !channel.index(dst.places[at:at+p.plane], pixels[at:at+p.plane]) {
			dst.places, dst.pixels = dst.places[:0], append(dst.pixels, pixels...)
			return
		}
	}
}

// restore writes the pixels that were kept to dst, with the same bits.
func (p *palettes) restore(dst []float32, from *indexed) {
	copy(dst, from.pixels)
	for at := 0; at < len(from.places); at += p.plane {
		values := p.channels[at/p.plane%len(p.channels)].values
		for i, place := range from.places[at : at+p.plane] {
			dst[at+i] = values[place]
		}
	}
}

// index writes the places of values and adds those that are new; false if there are too many.
func (p *palette) index(dst []byte, values []float32) bool {
	for i, v := range values {
		bits := math.Float32bits(v)
		place, known := p.place[bits]
		if !known {
			if len(p.values) > math.MaxUint8 {
				return false
			}
			place = byte(len(p.values))
			p.place[bits], p.values = place, append(p.values, v)
		}
		dst[i] = place
	}
	return true
}
