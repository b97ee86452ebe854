"""The front door: HTTPS in, one handler's answer out. The only room that knows HTTP's numbers and headers."""
