module trellis

go 1.26
