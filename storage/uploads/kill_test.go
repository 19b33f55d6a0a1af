package uploads_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"trellis/graph/identity"
	"trellis/storage/uploads"
)

// What the child process is told: the site, what it does, and when it ends.
const (
	childSite = "TRELLIS_TEST_UPLOADS_SITE" // the three addresses, one a line
	childPlay = "TRELLIS_TEST_UPLOADS_PLAY"
	childStep = "TRELLIS_TEST_UPLOADS_STEP" // number and moment
)

// TestMain makes this binary the process that TestKilledAtEveryStep kills.
func TestMain(m *testing.M) {
	address, ok := os.LookupEnv(childSite)
	if !ok {
		code := m.Run()
		if dir, err := settled(); err == nil {
			os.RemoveAll(dir)
		}
		os.Exit(code)
	}
	if err := child(address, os.Getenv(childPlay), os.Getenv(childStep)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
}

func child(address, name, when string) error {
	var s site
	var step int
	var at moment
	if lines := strings.Split(address, "\n"); len(lines) == 3 {
		s = site{lines[0], lines[1], lines[2]}
	}
	if _, err := fmt.Sscanf(when, "%d %s", &step, &at); err != nil {
		return err
	}
	f := killAt(step, at)
	w, stop, err := s.open(setup{faults: f})
	if err != nil {
		return err
	}
	defer stop()
	f.on.Store(true)
	err = plays[name].act(w)
	for _, what := range f.list() {
		fmt.Println(what)
	}
	return err
}

// The uploads and bytes of the plays.
const old, fresh = "00000000-0000-7000-8000-00000000000a", "00000000-0000-7000-8000-00000000000b"

var oldBytes, freshBytes = pictureOf(300, 200, 1), pictureOf(300, 200, 2)

// A play is something that a process does on a site that was prepared.
type play struct {
	prepare func(*world) error
	act     func(*world) error
	// done tells whether all of it has happened: so it must be if that was said.
	done func(*world) error
	// again repeats it when it was interrupted and a sweep has been through.
	again func(*world) error
	// kept are uploads that must be there whatever happens; one of either must be there.
	kept   []string
	either []string
}

func nothing(*world) error { return nil }

func addOld(w *world) error {
	_, err := w.add(uploads.Incoming{ID: old}, oldBytes)
	return err
}

func addFresh(w *world) error {
	_, err := w.add(uploads.Incoming{ID: fresh}, freshBytes)
	return err
}

func setPicture(id string, b []byte) func(*world) error {
	return func(w *world) error {
		_, err := w.add(uploads.Incoming{ID: id, PictureOf: acme}, b)
		return err
	}
}

func announceAndSend(w *world) error {
	q, err := w.announce(fresh, freshBytes)
	if err != nil {
		return err
	}
	return w.send(q, freshBytes)
}

func completeFresh(w *world) error { return w.complete(fresh) }

// ifGone does something unless the upload is there.
func ifGone(id string, do func(*world) error) func(*world) error {
	return func(w *world) error {
		if _, err := w.upload(id); err == nil {
			return nil
		}
		return do(w)
	}
}

// isReady tells whether the new upload is there, and complete.
func isReady(w *world) error {
	n, err := w.upload(fresh)
	if err == nil && n.Props.String(identity.PropState) != identity.StateReady {
		err = errors.New("it is still pending")
	}
	return err
}

// isGone tells whether an upload is not there.
func isGone(id string) func(*world) error {
	return func(w *world) error {
		if _, err := w.upload(id); err == nil {
			return fmt.Errorf("upload %s is there", id)
		}
		return nil
	}
}

// then does one thing after the other.
func then(first, second func(*world) error) func(*world) error {
	return func(w *world) error {
		if err := first(w); err != nil {
			return err
		}
		return second(w)
	}
}

func addOldAgain(w *world) error {
	_, err := w.add(uploads.Incoming{ID: fresh}, oldBytes)
	return err
}

func discard(w *world) error {
	_, err := w.Discard(context.Background())
	return err
}

func deleteUpload(id string) func(*world) error {
	return func(w *world) error { return w.delete(id) }
}

var plays = map[string]play{
	"add":               {prepare: nothing, act: addFresh, done: isReady, again: ifGone(fresh, addFresh)},
	"add what is there": {prepare: addOld, act: addOldAgain, done: isReady, again: ifGone(fresh, addOldAgain), kept: []string{old}},
	"announce and complete": {
		prepare: addOld, act: then(announceAndSend, completeFresh), done: isReady,
		again: ifGone(fresh, then(announceAndSend, completeFresh)), kept: []string{old},
	},
	"replace a picture": {
		prepare: setPicture(old, oldBytes), act: then(setPicture(fresh, freshBytes), discard), done: isReady,
		again: ifGone(fresh, setPicture(fresh, freshBytes)), either: []string{old, fresh},
	},
	"delete":                   {prepare: then(addOld, addFresh), act: then(deleteUpload(old), discard), done: isGone(old), again: addAfterDelete, kept: []string{fresh}},
	"delete what is announced": {prepare: announceAndSend, act: deleteUpload(fresh), done: isGone(fresh), again: ifGone(fresh, announceAndSend)},
}

// addAfterDelete adds what was deleted, under another id: the old one may be there.
func addAfterDelete(w *world) error {
	_, err := w.add(uploads.Incoming{}, oldBytes)
	return err
}

// A process does something and is killed before, after or in the middle of each
// step of it, until it gets through.
func TestKilledAtEveryStep(t *testing.T) {
	for _, place := range []string{"directory", localStack, versity} {
		t.Run(place, func(t *testing.T) {
			if place != "directory" && os.Getenv(place) == "" {
				t.Skipf("%s is not set: nothing is tried on a real S3", place)
			}
			for name, p := range plays {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					s := settledSite(t)
					if place == "directory" {
						p.prepared(t, s)
					}
					steps, _ := p.killed(t, s, place, name, "0 "+string(before))
					kills := 0
					for step, what := range steps {
						// Before a step is after the one before.
						moments := []moment{after}
						if step == 0 {
							moments = append(moments, before)
						}
						if what != "commit" && !strings.HasPrefix(what, "delete 1 ") {
							moments = append(moments, during)
						}
						for _, when := range moments {
							if _, killed := p.killed(t, s, place, name, fmt.Sprintf("%d %s", step+1, when)); killed {
								kills++
							}
						}
					}
					if t.Logf("killed %d times in %q", kills, steps); len(steps) < 2 || kills <= len(steps) {
						t.Error("that is too few")
					}
				})
			}
		})
	}
}

// prepared does what comes before the play, in a process that ends well.
func (p play) prepared(t *testing.T, s site) {
	t.Helper()
	w, stop, err := s.open(setup{})
	must(t, err)
	defer stop()
	must(t, p.prepare(w))
}

// killed runs the play in a process that is to end at the step, and looks at what
// that leaves. It tells the steps if the process got through.
func (p play) killed(t *testing.T, s site, place, name, when string) (steps []string, killed bool) {
	t.Helper()
	s = s.copy(t)
	if place != "directory" {
		s.files = bucket(t, place)
		p.prepared(t, s)
	}
	steps, killed = run(t, s, name, when)
	w, stop, err := s.open(setup{})
	must(t, err)
	defer stop()
	w.isSwept(t)
	p.keeps(t, w)
	if !killed {
		must(t, p.done(w))
	}
	if err := p.again(w); err != nil {
		t.Errorf("again: %v", err)
	}
	_, err = w.Discard(t.Context())
	must(t, err)
	w.isTidy(t)
	w.isCurrent(t)
	if t.Failed() {
		t.Fatalf("%s: killed at %s", name, when)
	}
	return steps, killed
}

// keeps checks that what must be there is there.
func (p play) keeps(t *testing.T, w *world) {
	t.Helper()
	for _, id := range p.kept {
		if _, err := w.upload(id); err != nil {
			t.Error(err)
		}
	}
	there := len(p.either) == 0
	for _, id := range p.either {
		_, err := w.upload(id)
		there = there || err == nil
	}
	if !there {
		t.Errorf("none of %v is there", p.either)
	}
}

// run starts the child process and waits for its end.
func run(t *testing.T, s site, name, when string) (steps []string, killed bool) {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childSite+"="+strings.Join([]string{s.graph, s.files, s.dir}, "\n"), childPlay+"="+name, childStep+"="+when)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
			return nil, true
		}
	}
	if err != nil {
		t.Errorf("the child process: %v", err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n"), false
}
