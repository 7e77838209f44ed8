package doctor

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"strconv"
	"strings"
)

// damage asks the server's metrics whether it has found unreadable parts in its
// store.
func (x *examination) damage(ctx context.Context) {
	const check = "stored data"
	res, err := x.get(ctx, x.Web, x.OpsURL+"/metrics", "")
	if err != nil || res.status != http.StatusOK {
		return // ops has reported it
	}
	found, known := damaged(res.body)
	switch {
	case len(found) > 0:
		x.fail(check, "the server's log says where; look at the disk, and read docs/damage.md before you restore a backup",
			"parts of the store cannot be read: %s", strings.Join(found, ", "))
	case known:
		x.ok(check, "everything that was read since the start was intact")
	}
}

// damaged lists what the metrics report as damaged, each with the number of
// places. known is false if they report nothing about damage at all.
func damaged(metrics []byte) (found []string, known bool) {
	lines := bufio.NewScanner(bytes.NewReader(metrics))
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), `trackway_store_damaged{what="`)
		if !ok {
			continue
		}
		known = true
		what, n, _ := strings.Cut(rest, `"} `)
		if places, err := strconv.ParseFloat(n, 64); err != nil || places > 0 {
			found = append(found, n+" × "+what)
		}
	}
	return found, known
}
