package thumbnail

import "encoding/binary"

// maxEXIF is how much of an EXIF block is read: what fits into a JPEG segment.
const maxEXIF = 64 << 10

// orientation looks the orientation up in an EXIF block: a TIFF file. It is 1,
// upright, unless there is a valid one.
func orientation(tiff []byte) int {
	if len(tiff) < 8 {
		return 1
	}
	var order binary.ByteOrder
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 1
	}
	start := int64(order.Uint32(tiff[4:]))
	if start+2 > int64(len(tiff)) {
		return 1
	}
	entries := tiff[start+2:]
	const tag, short, size = 0x0112, 3, 12
	for range order.Uint16(tiff[start:]) {
		if len(entries) < size {
			return 1
		}
		if order.Uint16(entries) == tag {
			value := order.Uint16(entries[8:])
			if order.Uint16(entries[2:]) != short || order.Uint32(entries[4:]) != 1 || value < 1 || value > 8 {
				return 1
			}
			return int(value)
		}
		entries = entries[size:]
	}
	return 1
}
