// Package uploads is where files and the graph meet: it takes in what somebody
// sends, has it looked at, stored and pictured, and writes the upload; it finds
// the bytes of an upload again; and it removes what nothing needs any more.
//
// It promises that an upload never points to bytes that are not safe, that bytes
// without an upload are found and removed, whenever a process is killed, and
// that the same content is stored once without anybody learning that somebody
// else has it. Who may do what is decided by package identity.
//
// # How an upload comes to be
//
// 1. The bytes are spooled, then inspected: a file that is refused leaves no trace.
// 2. A blob stands for the content, found by its hash; if there is none, a new id
// is chosen for one.
// 3. The bytes, and the thumbnail, are put below the blob's key: also when they
// are there already, so that the time it takes does not tell.
// 4. One batch makes the upload, its edge to the blob and, where it is new, the
// blob, on the condition that the blob is as it was, or that the content still has
// none. Else 2 begins again. What a killed process has put is objects without a
// node, which a sweep finds when they are older than Options.Grace; an upload that
// has not been written in half of that time is not written at all.
//
// # How bytes go
//
// A blob that no upload and no tombstone leads to is condemned: it loses its
// name, so that new uploads of the same content make another one, on the
// condition that still nothing leads to it. Then its objects are deleted, then
// the node. Every step can be repeated by any process after a crash.
package uploads
