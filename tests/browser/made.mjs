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

/** A tone, as long as it is said to be: `rate` samples a second, of one byte each for each of the channels. */
export function wav(name, seconds, { rate = 8_000, channels = 1 } = {}) {
  const bytes = seconds * rate * channels;
  const file = Buffer.alloc(44 + bytes);
  file.write('RIFF', 0, 'latin1');
  file.writeUInt32LE(36 + bytes, 4);
  file.write('WAVEfmt ', 8, 'latin1');
  file.writeUInt32LE(16, 16);
  file.writeUInt16LE(1, 20);
  file.writeUInt16LE(channels, 22);
  file.writeUInt32LE(rate, 24);
  file.writeUInt32LE(rate * channels, 28);
  file.writeUInt16LE(channels, 32);
  file.writeUInt16LE(8, 34);
  file.write('data', 36, 'latin1');
  file.writeUInt32LE(bytes, 40);
  for (let at = 0; at < bytes; at++) file[44 + at] = 128 + Math.round(20 * Math.sin(at / 8));
  return { name, mimeType: 'audio/wav', buffer: file };
}

/** The beginning of a film of that brand, and nothing that could be played. */
export function noFilm(name, mimeType, brand) {
  const file = Buffer.alloc(4_000, 7);
  file.writeUInt32BE(24, 0);
  file.write(`ftyp${brand}\0\0\0\0${brand}mp41`, 4, 'latin1');
  return { name, mimeType, buffer: file };
}

/** A film of a second, of what a page draws. */
export async function film(page, name) {
  const bytes = await page.evaluate(() => new Promise((resolve, reject) => {
    const canvas = document.createElement('canvas');
    Object.assign(canvas, { width: 320, height: 180 });
    const pen = canvas.getContext('2d');
    let frame = 0;
    const draw = setInterval(() => { pen.fillStyle = `hsl(${frame++ * 12} 70% 50%)`; pen.fillRect(0, 0, 320, 180); }, 40);
    const recorder = new MediaRecorder(canvas.captureStream(25), { mimeType: 'video/webm;codecs=vp8' });
    const parts = [];
    recorder.ondataavailable = ({ data }) => parts.push(data);
    recorder.onerror = reject;
    recorder.onstop = async () => { clearInterval(draw); resolve([...new Uint8Array(await new Blob(parts).arrayBuffer())]); };
    recorder.start(100);
    // A slow machine encodes nothing for a while.
    const began = performance.now();
    const end = setInterval(() => {
      if (performance.now() - began > 60_000) reject(new Error('nothing is encoded'));
      if (performance.now() - began < 1_200 || parts.reduce((sum, { size }) => sum + size, 0) < 4_000) return;
      clearInterval(end);
      recorder.stop();
    }, 100);
  }));
  return { name, mimeType: 'video/webm', buffer: Buffer.from(bytes) };
}
