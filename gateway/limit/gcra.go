package limit

// The generic cell rate algorithm, in the form called virtual scheduling (ATM
// Forum, Traffic Management Specification 4.1; ITU-T I.371, annex A):
//
//  1. A bucket is one number, the theoretical arrival time (tat): when it is full.
//  2. What it lacks at time now is the debt, tat − now; never negative.
//  3. A request of cost c takes c × T, where T is the time of one unit.
//  4. It conforms if debt + c × T <= burst × T (the standards' T + tau).
//  5. Then tat = now + debt + c × T; otherwise nothing changes.
//
// All times are whole nanoseconds, so there is nothing to round.

// charge is what a request takes from one bucket, and what was found there.
type charge struct {
	id       ident
	key      string
	cost     int64 // ns
	extra    int64 // ns to take besides, as far as there is room; then what was taken
	capacity int64 // ns
	interval int64 // ns of a unit; 0: nothing is known of the bucket
	debt     int64 // ns; after the request if it was allowed
	leasing  bool  // extra is for the lease of this bucket
}

// owed is the debt of a bucket. It is never more than the bucket holds, whatever
// the tat was computed with: an older rule, or a clock that has been set back. A
// tat that was cut so has to be kept.
func owed(tat, now, capacity int64) int64 { return min(max(tat-now, 0), capacity) }

func (c *charge) fits() bool { return c.debt <= c.capacity-c.cost }

// wait returns how long it takes until the charge fits.
func (c *charge) wait() int64 { return max(c.debt+c.cost-c.capacity, 0) }

// take makes the charge, which fits, and returns the new tat.
func (c *charge) take(now int64) int64 {
	c.debt += c.cost
	c.extra = min(c.extra, c.capacity-c.debt)
	c.debt += c.extra
	return now + c.debt
}
