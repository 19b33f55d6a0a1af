// Package identicon owns the pictures of what has none: of users,
// organizations, teams and projects that nobody has given one. It promises the
// same picture for the same kind and id, whatever the name is at present, at
// every time and in every process, and a different one for (nearly) every other
// id. Kinds are told apart at a glance: users are discs with a rosette,
// organizations squares with a mirrored grid, teams hexagons of cells, projects
// dark squares with a turning pattern.
//
// A picture holds no text, so it needs no font and looks the same in every
// script, and it tells nothing of the id, of which only a hash goes into it.
package identicon
