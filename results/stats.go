package results

// Seconds is a length of time in a report; +Inf means never.
type Seconds float64
