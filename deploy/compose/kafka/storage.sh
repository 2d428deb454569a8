#!/bin/sh
# Formats the storage of a new Kafka broker, with the administrator in it; leaves what was formatted as it is.
#
#   storage.sh PROPERTIES DATA ARGUMENTS [TOOLS]      ARGUMENTS is what `lynk init kafka --step administrator` writes: a file, because arguments
#                                                     can be seen by others; TOOLS the folder of Kafka's own tools
set -eu
properties=$1 data=$2 arguments=$3 tools=${4:+$4/}
if [ -e "$data/meta.properties" ]; then exit 0; fi
cluster=$("${tools}kafka-storage.sh" random-uuid)
# It shows what the password is checked with, which belongs into no log; what goes wrong it says elsewhere.
exec "${tools}kafka-storage.sh" format --standalone --cluster-id "$cluster" --config "$properties" "@$arguments" >/dev/null
