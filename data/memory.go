package data

import "github.com/vittool/vittool/data/pixels"

// surveyed is the number of images by which the memory of decoding is estimated. The largest file
// is one of them.
const surveyed = 64

// headBytes is the beginning of a file in which its header is looked for. Where it is not there,
// the whole file is read.
const headBytes = 256 << 10

// garbage is the growth of the heap until the garbage collector runs: images differ in size, and
// the memory of smaller ones is replaced.
const garbage = 2

// imageMemory is an estimate of the memory that a source takes for its images.
type imageMemory struct {
	w, h    int   // of the image with the most pixels
	reading int64 // most bytes that one worker takes to read an image
	mean    int64 // decoded bytes of an image, on average
}

// measured is a Source that estimates the memory of its images.
type measured interface{ measure() imageMemory }

// PeakBytes is an estimate of the most memory that the loader takes, in bytes: images that its
// workers decode and scale, batches that are ready, in the making and in use, and the cache. The
// headers of a sample of the images stand for all of them.
func (l *Loader) PeakBytes() int64 {
	var m imageMemory
	if s, ok := l.source.(measured); ok {
		m = s.measure()
	}
	var batch, scratch int64
	for i := range l.views {
		v := &l.views[i]
		view := int64(l.channels) * int64(v.Height) * int64(v.Width)
		batch += 4 * view * int64(l.options.BatchSize)
		// The rows of the image at the width of the view, and the result.
		scaled := min(int64(m.h)*int64(v.Width)*int64(l.channels), pixels.MaxScratch) + view
		if v.colorsFirst() {
			scaled += int64(m.w) * int64(m.h) * int64(l.channels)
		}
		scratch = max(scratch, scaled)
	}
	workers := int64(min(l.options.Workers, l.options.BatchSize*(l.options.Prefetch+1)))
	bytes := workers*(garbage*m.reading+scratch) + int64(l.options.Prefetch+2)*batch
	if l.cache.places != nil {
		bytes += min(l.options.CacheBytes, m.mean*int64(l.source.Len()))
	}
	return bytes
}

// measure looks at the headers of images that are spread evenly over the set, and of the one with
// the largest file. Unreadable ones do not count.
func (s *fileSet) measure() (m imageMemory) {
	s.Fingerprint() // finds the largest file
	r := fileReader{set: s}
	var sum, seen int64
	look := func(id int) {
		w, h, bytes, err := r.measure(id)
		if err != nil {
			return
		}
		if int64(w)*int64(h) > int64(m.w)*int64(m.h) {
			m.w, m.h = w, h
		}
		m.reading = max(m.reading, bytes)
		sum += int64(w) * int64(h) * int64(s.Channels())
		seen++
	}
	n := min(surveyed, s.Len())
	for i := range n {
		look(i * s.Len() / n)
	}
	if seen > 0 {
		m.mean = sum / seen
	}
	look(s.largest)
	return m
}

// measure returns the size of an image and the bytes that reading it takes.
func (r *fileReader) measure(id int) (w, h int, bytes int64, err error) {
	size, err := r.set.size(id)
	if err != nil {
		return 0, 0, 0, err
	}
	for _, most := range [...]int64{headBytes, maxFileBytes} {
		var b []byte
		if b, err = r.set.read(id, r.file, most); err != nil {
			return 0, 0, 0, err
		}
		r.file = b[:0]
		if w, h, bytes, err = r.decoder.Measure(b, r.set.options.decode()); err == nil || size <= most {
			break
		}
	}
	return w, h, bytes + 2*size, err // the file, and its data without stuffing
}

// measure counts a drawing with its mask and depth.
func (d *demoSource) measure() imageMemory {
	area := int64(d.w) * int64(d.h)
	return imageMemory{w: d.w, h: d.h, reading: 12 * area, mean: area * int64(d.channels)}
}
