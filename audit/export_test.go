package audit

import "time"

// With sets what only tests choose.
func (o LogOptions) With(adoptEvery time.Duration, segment int64) LogOptions {
	o.adoptEvery, o.segment = adoptEvery, segment
	return o
}
