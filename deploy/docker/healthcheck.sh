#!/bin/bash
# Whether this container's dispatcher or worker lives, by its own word: GET /livez. No HTTP client is in the image.
port=${TRAINYARD_METRICS_ADDR##*:}
exec 3<>"/dev/tcp/127.0.0.1/${port:-9464}" || exit 1
printf 'GET /livez HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
read -r _ status _ <&3
[ "$status" = 200 ]
