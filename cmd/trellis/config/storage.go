package config

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"trellis/storage/s3storage"
)

const storageURL = "TRELLIS_STORAGE_URL"

// storageSettings are those of files.
var storageSettings = []Setting{
	{
		Name: storageURL, Default: "dir:$DATA/files",
		Doc: "Where files are kept: dir:PATH for a directory ($DATA stands for the data directory), or s3://ACCESS_KEY:SECRET_KEY@BUCKET/PREFIX for S3, with any of the parameters region, endpoint, public_endpoint (under which clients reach it), path_style=true, create=true (make the bucket if it is not there), encryption (AES256 or aws:kms) and kms_key. " +
			"Without keys in it, the usual places of AWS are looked at. Every server of one graph needs the same place.",
		set: func(c *Config, s string) error { c.StorageURL = s; return parseStorageURL(s) },
	},
	{
		Name: "TRELLIS_STORAGE_TAKE_OVER", Default: "false",
		Doc: "Take over a place that belongs to another graph. For the first start of a graph that was moved to another store by `trellis export` and `trellis import`, when the server of the old one has stopped for good; to be taken away afterwards.",
		set: func(c *Config, s string) (err error) { c.TakeOverStorage, err = parseBool(s); return err },
	},
	{
		Name: "TRELLIS_STORAGE_MAX_FILE", Default: "50M",
		Doc: "How large one file may be; K, M and G may follow the number.",
		set: func(c *Config, s string) (err error) {
			if c.MaxFile, err = parseSize(s); err != nil || c.MaxFile < 1<<10 || c.MaxFile > 1<<30 {
				return errors.New("want a number of bytes from 1K to 1G, such as 50M")
			}
			return nil
		},
	},
	quota("TRELLIS_STORAGE_ORGANIZATION_QUOTA", "10G", "all files that belong to one organization, or to what is in it,", func(c *Config) *int64 { return &c.OrganizationQuota }),
	quota("TRELLIS_STORAGE_USER_QUOTA", "1G", "all files that one user or service account has sent", func(c *Config) *int64 { return &c.UserQuota }),
	{
		Name: "TRELLIS_THUMBNAIL_MEMORY", Default: "128M",
		Doc: "What making thumbnails may take of the memory, all together. A picture that needs more by itself gets none.",
		set: func(c *Config, s string) (err error) {
			if c.ThumbnailMemory, err = parseSize(s); err != nil || c.ThumbnailMemory < 16<<20 {
				return errors.New("want a number of bytes, 16M or more, such as 256M")
			}
			return nil
		},
	},
	{
		Name: "TRELLIS_THUMBNAIL_WORKERS", Default: "0",
		Doc: "How many thumbnails are made at once; 0 is as many as there are processors.",
		set: func(c *Config, s string) (err error) {
			if c.ThumbnailWorkers, err = strconv.Atoi(s); err != nil || c.ThumbnailWorkers < 0 || c.ThumbnailWorkers > 1024 {
				return errors.New("want a whole number from 0 to 1024")
			}
			return nil
		},
	},
	{
		Name: "TRELLIS_THUMBNAIL_TIME", Default: "20s",
		Doc: "How long making one thumbnail may take. A picture that needs longer gets none.",
		set: func(c *Config, s string) (err error) {
			if c.ThumbnailTime, err = time.ParseDuration(s); err != nil || c.ThumbnailTime < time.Second {
				return errors.New("want a time of 1s or more, such as 20s")
			}
			return nil
		},
	},
}

// quota is the setting for how much may be stored.
func quota(name, most, what string, of func(*Config) *int64) Setting {
	return Setting{
		Name: name, Default: most,
		Doc: "How much " + what + " may take together; K, M and G may follow the number, 0 is without limit. The same file counts as often as it was sent.",
		set: func(c *Config, s string) error {
			n, err := parseSize(s)
			if s == "0" {
				n, err = 0, nil
			}
			if *of(c) = n; err != nil {
				return errors.New("want a number of bytes, such as 500M or 10G, or 0")
			}
			return nil
		},
	}
}

// StoragePath is the directory of files; "" if they are on S3.
func (c *Config) StoragePath() string {
	path, _ := strings.CutPrefix(c.StorageURL, "dir:")
	if path == c.StorageURL {
		return ""
	}
	return path
}

// SpoolPath is the directory for files that come in.
func (c *Config) SpoolPath() string { return c.Data + "/arriving" }

func parseStorageURL(s string) error {
	if path, ok := strings.CutPrefix(s, "dir:"); ok {
		if path == "" || strings.HasPrefix(path, "//") {
			return errors.New("want dir:PATH or s3://BUCKET")
		}
		return nil
	}
	if !strings.HasPrefix(s, "s3:") {
		return errors.New("want dir:PATH or s3://BUCKET")
	}
	_, err := s3storage.Parse(s)
	return err
}
