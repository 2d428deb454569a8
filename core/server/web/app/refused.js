/** Why a file is not at the server, and what to do. */

import { bytesOf, count, explain } from './format.js';
import { kindOf } from './files.js';

/** `again`: what to do with a better one. */
const REJECTED = (again) => ({
  unknown_type: 'Files of this type are not taken.', other_type: `What is in it is of another type than its name says. Save it under the right name and ${again}.`,
  damaged: `The picture is damaged. Open and save it in another program, then ${again}.`, too_large: `The picture has too many pixels. Make it smaller and ${again}.`,
  too_slow: `The picture takes too long to read. Make it smaller and ${again}.`, infected: 'Something harmful was found in it.',
  not_scanned: 'It could not be looked at. Try again later.',
});

/** What to say of an upload that failed. `face`: it was to be the picture of a person or a room. */
export async function why(chat, upload, { face = false } = {}) {
  const { error, type } = upload;
  const again = face ? 'choose it again' : 'attach it again';
  switch (error.code) {
    case 'rejected': return REJECTED(again)[error.reason] ?? 'The server refused it.';
    case 'too_large': {
      const most = /\b(\d+) bytes/.exec(error.message)?.[1];
      return `It is too large${most ? `: ${face ? 'a picture' : 'files of its kind'} may have ${bytesOf(Number(most))}` : ''}. Make it smaller and ${again}.`;
    }
    case 'invalid_field':
      if (upload.bytes === 0) return `It is empty. ${face ? 'Choose' : 'Attach'} another one.`;
      if (face) return 'That is no picture that can be shown here. JPEG, PNG, GIF and WebP are taken.';
      return `Files of this type${type === 'application/octet-stream' ? '' : ` (${kindOf(upload)})`} are not taken. Pictures, films, sound, PDF, ZIP, office documents and texts are.`;
    case 'limit_reached': {
      const usage = await chat.account.mediaUsage().catch(() => undefined);
      if (usage && usage.uploads >= usage.uploads_max) return `You have sent ${count(usage.uploads, 'file')} within a day, as many as you may. Try again tomorrow.`;
      if (usage && usage.bytes + upload.bytes > usage.bytes_max) return `Your files take ${bytesOf(usage.bytes)} of ${bytesOf(usage.bytes_max)}. Delete messages with files to make room.`;
      return 'Too many of your files are on their way. Wait for them, then try again.';
    }
    case 'unknown_op': return 'This server takes no files.';
    default: return explain(error);
  }
}

/** Whether trying again can help. */
export const helps = ({ error }) => error.code === 'limit_reached' || error.reason === 'not_scanned' || (error.code !== 'rejected' && !['too_large', 'invalid_field', 'unknown_op', 'forbidden', 'not_a_member', 'banned', 'room_not_found'].includes(error.code));
