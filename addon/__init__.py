"""What touches the wire: a mitmproxy addon that reads rate limits from the traffic that flows by."""
