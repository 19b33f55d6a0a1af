package api

// decodeCheck is decode for the route that is called most. It is as strict,
// but looks at each byte once.
func (c *call) decodeCheck(in *CheckInput) error {
	return c.decode(in)
}

func (c *call) decodeChecks(in *ChecksInput) error {
	return c.decode(in)
}
