package calibrate

// Judge is judge.
func (l *Level) Judge(b Budget, j *Join) { l.judge(b, j) }
