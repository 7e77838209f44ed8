package relay

import "net/http"

// operatorField is the header field by which a member of a cluster tells
// another one who asks.
const operatorField = "Trackway-Operator"

// Tell makes a request that is passed on to another member say who asks.
func Tell(r *http.Request) { r.Header.Set(operatorField, r.RemoteAddr) }

// Believe makes a request of another member seem to come from whom it names. A
// request of anybody else must not be believed.
func Believe(r *http.Request) { r.RemoteAddr = r.Header.Get(operatorField) }
