package status

import "time"

// Overview is the whole: what all replicas say, and what the buckets say of those
// that do not answer.
type Overview struct {
	At            time.Time  `json:"at"`
	Bucket        string     `json:"bucket"`
	Stream        string     `json:"stream,omitempty"`
	Subscriptions []Line     `json:"subscriptions"`       // by name
	Replicas      []Member   `json:"replicas"`            // by name
	Alarms        []Alarm    `json:"alarms"`              // oldest first
	Consumers     *Consumers `json:"consumers,omitempty"` // the latest that a replica tells
	Notes         []string   `json:"notes"`               // what is missing here, or contradicts itself
}

// Alone is the overview of one that cannot ask the others.
func Alone(bucket string, r *Replica) *Overview {
	alone := *r
	alone.Gone = nil // it hears nobody
	return merge(bucket, r.Now, map[string]*Replica{r.Nonce: &alone}, buckets{}, nil)
}

// Line is a subscription in an overview.
type Line struct {
	Subscription
	Standbys []string `json:"standbys"`         // replicas that would take over, by name
	Answered bool     `json:"answered"`         // the leader has; else the buckets tell
	From     string   `json:"from_replica"`     // whose knowledge it is; empty: the buckets'
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
	Answered bool      `json:"answered"`       // false: others have heard of it, or the buckets name it
	Gone     bool      `json:"gone,omitempty"` // it vanished in the last ten minutes without a word
	Heard    time.Time `json:"heard,omitzero"` // last sign of life, if it did not answer
	Leads    int       `json:"leads"`          // subscriptions
	StandsBy int       `json:"stands_by"`      // for subscriptions
	Outbox   Outbox    `json:"pipeline,omitzero"`
	Token    Token     `json:"token,omitzero"`
}
