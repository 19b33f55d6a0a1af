package sqliteaudit

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"trellis/audit"
)

// words remembers texts and their numbers. What a number stands for never
// changes, so other processes cannot make it wrong; a text that has not been
// used for very long may be gone (see Sweep), which seen tells.
type words struct {
	mu    sync.Mutex
	ids   cache[string, word]
	lists cache[string, list] // their members are in the file, too
	texts cache[int64, string]
	// What the transaction under way has made, which is not yet true.
	newIDs   map[string]word
	newLists map[string]list
}

type word struct {
	id, seen int64
}

// list is a text that is a list: what is in it, without repeats.
type list struct {
	word
	members []int64
}

// seenOften is how exact text.seen is; sweepWords counts on it.
const seenOften = 30 * audit.Day

// longest is the longest text that is worth remembering.
const longest = 1 << 10

func newWords() *words {
	return &words{newIDs: map[string]word{}, newLists: map[string]list{}}
}

// keep is called when the transaction was committed, forget when it was not.
func (w *words) keep() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s, id := range w.newIDs {
		w.ids.put(strings.Clone(s), id, len(s)) // it may be part of something large
	}
	for s, id := range w.newLists {
		w.lists.put(s, id, len(s))
	}
	clear(w.newIDs)
	clear(w.newLists)
}

func (w *words) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.newIDs)
	clear(w.newLists)
}

// look finds what is known of a text or list, be it only within the transaction.
func look[V any](w *words, c *cache[string, V], fresh map[string]V, s string) (V, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if v, ok := fresh[s]; ok {
		return v, true
	}
	return c.get(s)
}

// word returns the number of a text, which is used at a time, and makes it if
// there is none. It is called within a write transaction.
func (w *words) word(run *statements, s string, used int64) (int64, error) {
	if s == "" {
		return 0, nil
	}
	got, ok := look(w, &w.ids, w.newIDs, s)
	for !ok || used-got.seen >= int64(seenOften/time.Millisecond) {
		if ok { // unless it is gone
			n, err := run.seeWord.exec(got.id, used)
			if err != nil {
				return 0, err
			}
			if got.seen = used; n > 0 {
				break
			}
		}
		ok = false
		err := run.word.query(func(row []driver.Value) error {
			got, ok = word{row[0].(int64), row[1].(int64)}, true
			return nil
		}, s)
		if err != nil {
			return 0, err
		}
		if !ok {
			id, _, err := run.newWord.number(s, used)
			if err != nil {
				return 0, err
			}
			got, ok = word{id, used}, true
		}
	}
	w.mu.Lock()
	w.newIDs[s] = got
	w.mu.Unlock()
	return got.id, nil
}

// list does for a list what word does for a text.
func (w *words) list(run *statements, texts []string, used int64) (list, error) {
	if len(texts) == 0 {
		return list{}, nil
	}
	s := listText(texts)
	if got, ok := look(w, &w.lists, w.newLists, s); ok && used-got.seen < int64(seenOften/time.Millisecond) {
		return got, nil
	}
	id, err := w.word(run, s, used)
	if err != nil {
		return list{}, err
	}
	got := list{word: word{id, used}}
	for _, m := range texts {
		node, err := w.word(run, m, used)
		if err != nil {
			return list{}, err
		}
		if slices.Contains(got.members, node) {
			continue
		}
		got.members = append(got.members, node)
		if _, err := run.newMember.exec(node, id); err != nil {
			return list{}, err
		}
	}
	w.mu.Lock()
	w.newLists[s] = got
	w.mu.Unlock()
	return got, nil
}

// listText is a list in JSON.
func listText(list []string) string {
	var b bytes.Buffer
	for i, s := range list {
		b.WriteByte("[,"[min(i, 1)])
		if simple(s) {
			b.WriteByte('"')
			b.WriteString(s)
			b.WriteByte('"')
			continue
		}
		quoted, err := json.Marshal(s)
		if err != nil {
			panic(err) // a string has no such value
		}
		b.Write(quoted)
	}
	b.WriteByte(']')
	return b.String()
}

func simple(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func parseList(s string) (list []string, err error) {
	if s == "" {
		return nil, nil
	}
	err = json.Unmarshal([]byte(s), &list)
	return list, err
}

// find returns the number of a text; not ok if it does not occur.
func (w *words) find(ctx context.Context, db *sql.DB, s string) (id int64, ok bool, err error) {
	if s == "" {
		return 0, true, nil
	}
	w.mu.Lock()
	got, ok := w.ids.get(s)
	w.mu.Unlock()
	if ok {
		return got.id, true, nil
	}
	var seen int64
	err = db.QueryRowContext(ctx, `SELECT id, seen FROM text WHERE text = ?`, s).Scan(&id, &seen)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	w.mu.Lock()
	w.ids.put(strings.Clone(s), word{id, seen}, len(s))
	w.mu.Unlock()
	return id, true, nil
}

// read finds the texts of the numbers, and puts them into the map.
func (w *words) read(ctx context.Context, db *sql.DB, texts map[int64]string) error {
	var missing []int64
	w.mu.Lock()
	for id := range texts {
		if id == 0 {
			continue
		}
		s, ok := w.texts.get(id)
		if !ok {
			missing = append(missing, id)
		}
		texts[id] = s
	}
	w.mu.Unlock()
	if len(missing) == 0 {
		return nil
	}
	ids, err := json.Marshal(missing)
	if err != nil {
		return err
	}
	rows, err := db.QueryContext(ctx, `SELECT text.id, text FROM json_each(?) AS j CROSS JOIN text ON text.id = j.value`, string(ids))
	if err != nil {
		return err
	}
	defer rows.Close()
	var id int64
	var s string
	for rows.Next() {
		if err := rows.Scan(&id, &s); err != nil {
			return err
		}
		texts[id] = s
		w.mu.Lock()
		w.texts.put(id, s, len(s))
		w.mu.Unlock()
	}
	return rows.Err()
}

// cache is a map that does not grow for ever: when it is full, what was not
// asked for since it was half full is forgotten.
type cache[K comparable, V any] struct {
	young, old map[K]V
	size       int // of young, about, in bytes
}

// cacheHalf is the size of half a cache; cacheEntry what an entry takes besides its text.
const (
	cacheHalf  = 1 << 20
	cacheEntry = 64
)

func (c *cache[K, V]) get(k K) (V, bool) {
	v, ok := c.young[k]
	if !ok {
		if v, ok = c.old[k]; ok {
			c.put(k, v, cacheEntry) // about
		}
	}
	return v, ok
}

// put remembers what has a text of a length, unless it is too long.
func (c *cache[K, V]) put(k K, v V, text int) {
	if text > longest {
		return
	}
	if c.young == nil || c.size >= cacheHalf {
		c.young, c.old, c.size = make(map[K]V), c.young, 0
	}
	c.young[k] = v
	c.size += text + cacheEntry
}
