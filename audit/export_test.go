package audit

import "time"

// With sets what only tests choose.
func (o LogOptions) With(adoptEvery time.Duration, segment int64) LogOptions {
	o.adoptEvery, o.segment = adoptEvery, segment
	return o
}

// Impatient tries often while the sink is away.
func (o LogOptions) Impatient() LogOptions {
	o.maxPause = 20 * time.Millisecond
	return o
}

// FrontSize is how many bytes a front has.
const FrontSize = frontSize

// Found is what Scan found of a frame.
type Found struct {
	From, To int
	Batch    uint64
	Records  []Link // without writers
	// Ends tells where in the file each of the records ends.
	Ends []int
}

// Scan reads what is in a segment's file.
func Scan(b []byte) (frames []Found, damaged, unknown bool) {
	var s scan
	s.run(b, func(f *frame, from, to int) {
		at := Found{From: from, To: to, Batch: f.batch}
		end := to - len(f.body)
		f.walk(func(w written) {
			at.Records = append(at.Records, Link{"", w.seq, w.hash})
			end += len(appendRecord(nil, w.code, w.place, w.body))
			at.Ends = append(at.Ends, end)
		})
		frames = append(frames, at)
	})
	return frames, s.damaged, s.unknown
}
