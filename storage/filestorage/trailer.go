package filestorage

import (
	"encoding/binary"
	"hash/crc32"

	"trellis/storage"
)

// The trailer: what is stored of an object besides its bytes. Its length is
// fixed, so a file's size tells the object's. It comes last, so that other
// programs see in the file what it holds.
//
//	0    8  magic, with the version of the format
//	8    8  size of the object, big endian
//	16  32  SHA-256
//	48   4  CRC-32 of the trailer without these four bytes
//	52   1  length of the content type
//	53 203  content type, then zeros
const trailerSize = 256

const (
	trailerMagic = "trellis\x01"
	typeAt       = 53
)

// appendTrailer adds the trailer of an object, which is valid.
func appendTrailer(b []byte, o storage.Object) []byte {
	var t [trailerSize]byte
	copy(t[:], trailerMagic)
	binary.BigEndian.PutUint64(t[8:], uint64(o.Size))
	copy(t[16:], o.SHA256[:])
	t[52] = byte(len(o.ContentType))
	copy(t[typeAt:], o.ContentType)
	binary.BigEndian.PutUint32(t[48:], crc32.ChecksumIEEE(t[:]))
	return append(b, t[:]...)
}

// parseTrailer reads a trailer; false if it is none.
func parseTrailer(b []byte) (o storage.Object, ok bool) {
	if len(b) != trailerSize {
		return o, false
	}
	t := [trailerSize]byte(b)
	sum := binary.BigEndian.Uint32(t[48:])
	clear(t[48:52])
	if string(t[:8]) != trailerMagic || sum != crc32.ChecksumIEEE(t[:]) || typeAt+int(t[52]) > trailerSize {
		return o, false
	}
	o.Size = int64(binary.BigEndian.Uint64(t[8:]))
	o.SHA256 = [32]byte(t[16:48])
	o.ContentType = string(t[typeAt : typeAt+int(t[52])])
	return o, o.Valid()
}
