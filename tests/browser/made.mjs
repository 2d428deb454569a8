/** Files that the browser tests make. */

import { deflateSync } from 'node:zlib';

/** A picture of stripes. */
export function png(width, height, tint = 40) {
  const chunk = (name, data) => {
    const body = Buffer.concat([Buffer.from(name, 'latin1'), data]);
    let crc = ~0;
    for (const byte of body) { crc ^= byte; for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0); }
    const frame = Buffer.alloc(8);
    frame.writeUInt32BE(data.length);
    frame.writeInt32BE(~crc, 4);
    return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width);
  head.writeUInt32BE(height, 4);
  head.set([8, 2, 0, 0, 0], 8);
  const rows = Buffer.alloc(height * (1 + width * 3));
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) rows.set([tint, (x >> 4) % 2 ? 120 : 200, (y * 255 / height) | 0], y * (1 + width * 3) + 1 + x * 3);
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), chunk('IHDR', head), chunk('IDAT', deflateSync(rows)), chunk('IEND', Buffer.alloc(0))]);
}

/** A picture, as one is chosen. */
export const picture = (name, width = 640, height = 400, tint = 40) => ({ name, mimeType: 'image/png', buffer: png(width, height, tint) });
