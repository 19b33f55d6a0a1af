package main

import (
	"time"

	"trellis/cmd/trellis/config"
	"trellis/storage"
	"trellis/storage/filestorage"
	"trellis/storage/s3storage"
	"trellis/storage/thumbnail"
	"trellis/storage/uploads"
)

// openFiles opens where files are kept. A server that is away keeps nothing from
// starting.
func (k *core) openFiles(c *config.Config) (*uploads.Service, error) {
	spool, err := storage.NewSpool(c.SpoolPath())
	if err != nil {
		return nil, err
	}
	blobs, err := openBlobs(c)
	if err != nil {
		return nil, err
	}
	maker := thumbnail.New(thumbnail.Limits{Memory: c.ThumbnailMemory, Time: c.ThumbnailTime, Workers: c.ThumbnailWorkers})
	return uploads.New(
		uploads.Parts{Graph: k.graph, Identity: k.ids, Ledger: k.ledger, Blobs: blobs, Spool: spool, Maker: maker},
		uploads.Options{MaxSize: c.MaxFile, OrganizationQuota: c.OrganizationQuota, CreatorQuota: c.UserQuota, TakeOver: c.TakeOverStorage, Now: time.Now, Log: k.log}), nil
}

func openBlobs(c *config.Config) (storage.Blobs, error) {
	if path := c.StoragePath(); path != "" {
		return filestorage.Open(path, filestorage.Options{})
	}
	o, err := s3storage.Parse(c.StorageURL)
	if err != nil {
		return nil, err
	}
	return s3storage.Open(o)
}
