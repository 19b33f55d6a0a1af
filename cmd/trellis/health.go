package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"

	"trellis/cmd/trellis/client"
)

func (a *app) healthCommand() *cobra.Command {
	return a.configFlag(&cobra.Command{
		Use: "healthcheck", Short: "Ask a server whether it lives, for container health checks", Args: cobra.NoArgs,
		Long: "Ask /livez of the server at TRELLIS_URL, or else of the one on this machine at\nTRELLIS_LISTEN. The exit code is 0 if it answers within 5 seconds, else 2.",
		RunE: func(c *cobra.Command, _ []string) error {
			base := a.env("TRELLIS_URL")
			if base == "" {
				cfg, _ := a.settings() // other mistakes in settings are not the question here
				host, port, err := net.SplitHostPort(cfg.Listen)
				if err != nil {
					return err
				}
				if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
					host = "127.0.0.1"
				}
				base = "http://" + net.JoinHostPort(host, port)
			}
			cl, err := client.New(base, "", "trellis/"+version())
			if err != nil {
				return err
			}
			defer cl.Close()
			ctx, cancel := context.WithTimeout(c.Context(), 5*time.Second)
			defer cancel()
			if err := cl.Get(ctx, "/livez", nil, nil); err != nil {
				return err
			}
			fmt.Fprintln(a.stdout, "alive")
			return nil
		},
	})
}
