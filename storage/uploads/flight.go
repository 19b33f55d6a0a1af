package uploads

import (
	"context"
	"time"

	"golang.org/x/sync/singleflight"
)

// flights lets several who want the same thing made wait for one who makes it.
type flights struct{ group singleflight.Group }

// makingTime limits one making, which goes on when those who wait have gone.
const makingTime = time.Minute

func (f *flights) do(ctx context.Context, key string, create func(context.Context) error) error {
	done := f.group.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), makingTime)
		defer cancel()
		return nil, create(ctx)
	})
	select {
	case r := <-done:
		return r.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}
