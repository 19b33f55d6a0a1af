package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
)

// pageSize is the most that the API gives in one page.
const pageSize = 1000

// List calls each with every item of a list, page after page, until each
// returns an error.
func List[T any](ctx context.Context, c *Client, path string, query url.Values, each func(T) error) error {
	q := url.Values{"limit": {strconv.Itoa(pageSize)}}
	for k, v := range query {
		q[k] = v
	}
	for {
		var page struct {
			Items      []json.RawMessage `json:"items"`
			NextCursor string            `json:"next_cursor"`
		}
		if err := c.Get(ctx, path, q, &page); err != nil {
			return err
		}
		for _, raw := range page.Items {
			var item T
			if err := json.Unmarshal(raw, &item); err != nil {
				return fmt.Errorf("an item of %s cannot be read: %w", path, err)
			}
			if err := each(item); err != nil {
				return err
			}
		}
		switch page.NextCursor {
		case "":
			return nil
		case q.Get("cursor"):
			return fmt.Errorf("the list %s repeats its cursor", path)
		}
		q.Set("cursor", page.NextCursor)
	}
}
