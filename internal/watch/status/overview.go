package status

import "time"

// Overview merges what all replicas report with what the buckets hold about those that do not
// answer.
type Overview struct {
	At            time.Time  `json:"at"`
	Bucket        string     `json:"bucket"`
	Stream        string     `json:"stream,omitempty"`
	Subscriptions []Line     `json:"subscriptions"`       // by name
	Replicas      []Member   `json:"replicas"`            // by name
	Alarms        []Alarm    `json:"alarms"`              // oldest first
	Consumers     *Consumers `json:"consumers,omitempty"` // the latest report of any replica
	Notes         []string   `json:"notes"`               // what is missing or contradictory here
}

// Alone returns the overview of a replica that cannot ask the others.
func Alone(bucket string, r *Replica) *Overview {
	alone := *r
	alone.Gone = nil // cut off, it would take all others for gone
	return merge(bucket, r.Now, map[string]*Replica{r.Nonce: &alone}, buckets{}, nil)
}

// Line is a subscription in an overview.
type Line struct {
	Subscription
	Standbys []string `json:"standbys"`         // replicas that could take over, by name
	Answered bool     `json:"answered"`         // the leader answered; otherwise the data comes from elsewhere
	From     string   `json:"from_replica"`     // replica that the data comes from; empty: the buckets
	Unused   bool     `json:"unused,omitempty"` // no replica is set up for it any more
}

// Member is a replica in an overview.
type Member struct {
	Replica  string    `json:"replica"`
	Nonce    string    `json:"nonce"`
	Host     string    `json:"host,omitempty"`
	PID      int       `json:"pid,omitempty"`
	Version  string    `json:"version,omitempty"`
	Started  time.Time `json:"started,omitzero"`
	Phase    Phase     `json:"phase,omitempty"`
	HTTP     string    `json:"http,omitempty"`
	Answered bool      `json:"answered"`       // false: known from other replicas or the buckets only
	Gone     bool      `json:"gone,omitempty"` // it vanished in the last ten minutes without taking leave
	Heard    time.Time `json:"heard,omitzero"` // last sign of life of one that did not answer
	Leads    int       `json:"leads"`          // number of subscriptions
	StandsBy int       `json:"stands_by"`      // number of subscriptions
	Outbox   Outbox    `json:"pipeline,omitzero"`
	Token    Token     `json:"token,omitzero"`
}
