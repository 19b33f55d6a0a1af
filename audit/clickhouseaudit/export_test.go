package clickhouseaudit

// Tables lists all tables that hold data.
func Tables() (all []string) {
	for _, e := range expiries {
		all = append(all, e.table)
	}
	return all
}
