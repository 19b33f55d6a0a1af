// Package trail makes the audit records of what changed in the graph. It owns
// what may be shown of a change (Describe, also for the stream of changes), the
// events that a change makes (Events), and the Follower, which brings them from
// the change feed to the sink.
//
// It promises that every change in the feed reaches the sink, once, whatever
// dies or stalls in between and however many processes follow; that the events of
// a change are the same whoever works them out; and that a secret never comes
// out, since only fields that a type declares are shown. It decides nothing
// about who may read what it writes.
package trail
