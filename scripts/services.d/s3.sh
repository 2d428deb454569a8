# An S3 server with one access key and one bucket: s3s-fs, a Rust program that checks signatures and keeps objects as files. It is built once
# into the cache, without optimisation but for its checksums, which takes half as long. It speaks plain HTTP, which Lynk takes from this
# machine only.
#
# Access key: lynk_media, whose secret is the password of lynk_s3. A server that was killed comes back with its objects.

s3_version=0.14.1
s3_program() { printf '%s\n' "$cache/s3s-fs-$s3_version/bin/s3s-fs"; }

s3_fetch() {
	if [ -x "$(s3_program)" ]; then return; fi
	command -v cargo >/dev/null || die "missing: cargo"
	say "building s3s-fs $s3_version"
	local package fast=()
	for package in md-5 sha2 crc-fast; do fast+=(--config "profile.dev.package.$package.opt-level=3"); done
	CARGO_TARGET_DIR=$cache/s3s-fs-build CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0 cargo install --debug --locked --quiet "${fast[@]}" \
		--root "$cache/s3s-fs-$s3_version" --features binary --version "$s3_version" s3s-fs >&2 || die "could not build s3s-fs"
	rm -rf "$cache/s3s-fs-build"
}

s3_answers() { [ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$(port s3)/lynk")" = 403 ]; }

s3_up() {
	principal lynk_s3
	mkdir -p "$dir/s3/data/lynk"
	if ! pid_of s3 >/dev/null; then
		port_is_free "$(port s3)" || die "the port of s3 is taken: $(port s3)"
		launch s3 "$(s3_program)" --host 127.0.0.1 --port "$(port s3)" --access-key lynk_media \
			--secret-key "$(cat "$dir/passwords/lynk_s3")" "$dir/s3/data"
	fi
	wait_for s3 30 s3_answers
}

s3_down() { stop s3 INT 10; }

s3_status() { s3_answers && printf 'port %s\n' "$(port s3)"; }

s3_env() {
	printf '%s\n' "S3_ENDPOINT=http://127.0.0.1:$(port s3)" S3_REGION=us-east-1 S3_BUCKET=lynk S3_ACCESS_KEY_ID=lynk_media
}
