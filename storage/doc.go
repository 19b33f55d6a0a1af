// Package storage owns files: the contract of the engines that keep their
// bytes, and how bytes that arrive are taken in without ever being in memory
// whole. It knows nothing of the graph, of users or of permissions; what a file
// is and whether it may stay is told by storage/content, its picture is made by
// storage/thumbnail, and storage/uploads is where files and the graph meet.
//
// It promises that what was stored is whole, and never lets a name or an
// address that a caller wrote reach a store: keys are made by the service only.
package storage
