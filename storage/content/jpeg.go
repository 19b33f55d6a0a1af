package content

import (
	"bytes"
	"encoding/binary"
)

// The markers that matter.
const (
	markSOF0 = 0xc0
	markDHT  = 0xc4
	markJPG  = 0xc8
	markDAC  = 0xcc
	markRST0 = 0xd0
	markRST7 = 0xd7
	markSOI  = 0xd8
	markEOI  = 0xd9
	markSOS  = 0xda
)

// maxScans is how many passes over its picture a JPEG may have: progressive
// encoders write up to about 20, and a decoder goes over all pixels in each.
const maxScans = 100

// jpegFile is the walk through one JPEG, which may stand behind another.
type jpegFile struct {
	s     *source
	pos   int64
	info  Info
	scans int
}

const aJPEGSegment = "a JPEG segment"

// jpeg walks through the picture and through what follows it.
func (s *source) jpeg() (Info, error) {
	j := &jpegFile{s: s}
	if err := j.picture(); err != nil {
		return Info{}, err
	}
	return j.info, s.afterJPEG(j.pos)
}

// picture reads from the start marker to behind the end marker.
func (j *jpegFile) picture() error {
	b, err := j.s.at(j.pos, 2, "a JPEG")
	if err != nil {
		return err
	}
	if b[0] != 0xff || b[1] != markSOI {
		return damaged("a JPEG does not begin as one")
	}
	j.pos += 2
	for segments := 0; ; segments++ {
		if segments > maxParts {
			return refuse(TooLarge, "the JPEG has more than %d segments", maxParts)
		}
		m, err := j.marker()
		if err != nil {
			return err
		}
		if m == markEOI {
			if j.scans == 0 {
				return damaged("the JPEG has no picture data")
			}
			return nil
		}
		if m < markSOF0 || m >= markRST0 && m <= markSOI || m == markJPG {
			return damaged("the JPEG has a marker where none may be")
		}
		if err := j.segment(m); err != nil {
			return err
		}
	}
}

// marker reads one, with the fill bytes before it.
func (j *jpegFile) marker() (byte, error) {
	if j.pos == j.s.size {
		return 0, damaged("the JPEG has no end")
	}
	b, err := j.s.at(j.pos, 1, "a JPEG")
	if err != nil {
		return 0, err
	}
	if b[0] != 0xff {
		return 0, damaged("the JPEG has bytes between its segments")
	}
	if j.pos, err = j.s.skip(j.pos, 0xff); err != nil {
		return 0, err
	}
	b, err = j.s.at(j.pos, 1, "a JPEG marker")
	if err != nil {
		return 0, err
	}
	j.pos++
	return b[0], nil
}

// segment reads one with that marker, and the picture data after it if there is any.
func (j *jpegFile) segment(m byte) error {
	b, err := j.s.at(j.pos, 2, aJPEGSegment)
	if err != nil {
		return err
	}
	length := int(binary.BigEndian.Uint16(b))
	if length < 2 {
		return damaged("a JPEG segment has no length")
	}
	// A segment is smaller than the window.
	if b, err = j.s.at(j.pos, length, aJPEGSegment); err != nil {
		return err
	}
	j.pos += int64(length)
	switch {
	case m == markSOS:
		return j.scan(b[2:])
	case m < markRST0 && m != markDHT && m != markDAC:
		return j.frame(b[2:])
	}
	return nil
}

// frame checks the header that says how large the picture is.
func (j *jpegFile) frame(b []byte) error {
	if j.info.Frames > 0 {
		return damaged("the JPEG has more than one frame header")
	}
	if len(b) < 6 || b[5] == 0 || b[5] > 4 || len(b) != 6+3*int(b[5]) {
		return damaged("the JPEG's frame header is damaged")
	}
	j.info = Info{
		Height: int(binary.BigEndian.Uint16(b[1:])),
		Width:  int(binary.BigEndian.Uint16(b[3:])),
		Frames: 1,
	}
	return checkSize(j.info.Width, j.info.Height)
}

// scan checks the header of a scan and steps over its data, to the next marker
// that is not part of them.
func (j *jpegFile) scan(b []byte) error {
	if j.info.Frames == 0 {
		return damaged("the JPEG has picture data before its frame header")
	}
	if len(b) < 1 || b[0] == 0 || b[0] > 4 || len(b) != 4+2*int(b[0]) {
		return damaged("a scan header of the JPEG is damaged")
	}
	if j.scans++; j.scans > maxScans {
		return refuse(TooLarge, "the JPEG has more than %d scans", maxScans)
	}
	const data = "the JPEG's picture data"
	for {
		b, err := j.s.from(j.pos)
		if err != nil {
			return err
		}
		if len(b) == 0 {
			return cutOff(data)
		}
		i := bytes.IndexByte(b, 0xff)
		if i < 0 {
			j.pos += int64(len(b))
			continue
		}
		j.pos += int64(i)
		if b, err = j.s.at(j.pos, 2, data); err != nil {
			return err
		}
		switch {
		case b[1] == 0 || b[1] >= markRST0 && b[1] <= markRST7:
			j.pos += 2
		case b[1] == 0xff:
			j.pos++
		default:
			return nil
		}
	}
}
