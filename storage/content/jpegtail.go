package content

import "encoding/binary"

// The limits of what may follow a JPEG.
const (
	maxFollowing = 64
	maxBoxes     = 4096
	maxEntries   = 256
)

// afterJPEG checks what follows the end marker of a JPEG at off. Cameras and
// phones put things there, so these, in any order, are accepted and nothing else:
//
//   - further JPEGs, each whole and within the limits (the previews, depth and
//     gain maps of the Multi-Picture Format);
//   - zero bytes (padding between and behind them);
//   - an MP4 whose boxes reach exactly to its end (motion photos);
//   - the trailer of Samsung phones, whose directory accounts for all of it.
//
// Whatever it is, archives and tags in it have been looked for already.
func (s *source) afterJPEG(off int64) error {
	for following := 0; off < s.size; following++ {
		if following > maxFollowing {
			return refuse(TooLarge, "more than %d things follow the JPEG", maxFollowing)
		}
		next, err := s.skip(off, 0)
		if err != nil || next == s.size {
			return err
		}
		if ok, err := s.isSamsung(off, next); ok || err != nil {
			return err
		}
		box, err := s.mp4Start(off, next)
		if err != nil {
			return err
		}
		head, err := s.upTo(next, 3)
		switch {
		case err != nil:
			return err
		case box >= 0:
			off, err = s.mp4(box)
		case string(head) == "\xff\xd8\xff":
			j := &jpegFile{s: s, pos: next}
			err = j.picture()
			off = j.pos
		default:
			return s.trailing(next, "JPEG")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mp4Start tells where an MP4 begins whose first byte that is not zero is at
// next, or -1. The length it begins with may have three zeros more.
func (s *source) mp4Start(off, next int64) (int64, error) {
	for start := max(off, next-3); start <= next; start++ {
		b, err := s.upTo(start, 8)
		if err != nil {
			return 0, err
		}
		if len(b) == 8 && string(b[4:]) == "ftyp" {
			return start, nil
		}
	}
	return -1, nil
}

// mp4 steps over the boxes at off, up to the first thing that is none. The two
// that every film has must be among them.
func (s *source) mp4(off int64) (int64, error) {
	const aBox = "the video behind the JPEG"
	var index, data bool
	for range maxBoxes {
		b, err := s.upTo(off, 16)
		if err != nil {
			return 0, err
		}
		if !isBox(b) {
			if !index || !data {
				return 0, cutOff(aBox)
			}
			return off, nil
		}
		kind := string(b[4:8])
		index, data = index || kind == "moov", data || kind == "mdat"
		length, least := int64(binary.BigEndian.Uint32(b)), int64(8)
		switch {
		case length == 0:
			return s.size, nil
		case length == 1 && len(b) == 16:
			length, least = int64(binary.BigEndian.Uint64(b[8:])), 16
		}
		if length < least {
			return 0, damaged("the video behind the JPEG is damaged")
		}
		if length > s.size-off {
			return 0, cutOff(aBox)
		}
		off += length
	}
	return 0, refuse(TooLarge, "the video behind the JPEG has more than %d parts", maxBoxes)
}

func isBox(b []byte) bool {
	if len(b) < 8 {
		return false
	}
	switch string(b[4:8]) {
	case "ftyp", "moov", "mdat", "free", "skip", "wide", "uuid", "moof", "mfra", "sidx", "styp", "pnot", "udta", "meta":
		return true
	}
	return false
}

// isSamsung tells whether everything from between off and next to the end of
// the file is the trailer of a Samsung phone: blocks, and behind them a
// directory of them,
//
//	SEFH, version (4), number of blocks (4),
//	for each: type (4), how far before SEFH it begins (4), its length (4)
//	length of all this (4), SEFT
//
// with numbers in little-endian.
func (s *source) isSamsung(off, next int64) (bool, error) {
	b, err := s.upTo(max(off, s.size-8), 8)
	if err != nil || len(b) < 8 || string(b[4:]) != "SEFT" {
		return false, err
	}
	length := int64(binary.LittleEndian.Uint32(b))
	begin := s.size - 8 - length
	if begin < off || length < 12 || length > 12+12*maxEntries {
		return false, nil
	}
	if b, err = s.upTo(begin, int(length)); err != nil {
		return false, err
	}
	n := int64(binary.LittleEndian.Uint32(b[8:]))
	if string(b[:4]) != "SEFH" || length != 12+12*n {
		return false, nil
	}
	first, covered := begin, int64(0)
	for e := b[12:]; len(e) > 0; e = e[12:] {
		back, size := int64(binary.LittleEndian.Uint32(e[4:])), int64(binary.LittleEndian.Uint32(e[8:]))
		if size > back || back > begin-off {
			return false, nil
		}
		first = min(first, begin-back)
		covered += size
	}
	// Blocks leave no gap, and nothing but zeros is before them.
	return first <= next && covered >= begin-first, nil
}
