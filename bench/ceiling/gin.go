// Package ceiling measures what could be reached at best with the parts that
// Trellis is built of: an HTTP route that decides nothing, and the same writes
// given to the database directly. It shares no code with Trellis.
package ceiling

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

type checkBody struct {
	Subject    string `json:"subject"`
	Permission string `json:"permission" binding:"required"`
	Resource   string `json:"resource" binding:"required"`
}

type checkAnswer struct {
	Allowed  bool   `json:"allowed"`
	Revision string `json:"revision"`
}

// ServeGin serves POST /check on addr until ctx ends: gin without any
// middleware decodes the body of a check and answers the same every time.
func ServeGin(ctx context.Context, addr string) error {
	gin.SetMode(gin.ReleaseMode)
	g := gin.New()
	g.GET("/ready", func(c *gin.Context) { c.Status(http.StatusOK) })
	g.POST("/check", func(c *gin.Context) {
		var b checkBody
		if err := c.ShouldBindJSON(&b); err != nil {
			c.Status(http.StatusBadRequest)
			return
		}
		c.JSON(http.StatusOK, checkAnswer{Allowed: true, Revision: "0123456789abcdef.1234"})
	})
	s := &http.Server{Addr: addr, Handler: g, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		s.Close()
	}()
	if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
