import { randomInt } from "node:crypto";

/** A mood and a vessel: `calm_schooner`. The stack's boxes are on ships, after all. */
const moods = (
  "able amber ample balmy bold brave bright brisk calm candid cheery civil clear clever cosy crisp daring deft eager easy " +
  "fair fond frank fresh gentle glad golden grand happy hardy hearty honest jolly keen kind lively loyal lucid lucky mellow " +
  "merry mild modest neat nimble noble patient plucky polite proud quick quiet ready robust rosy serene sharp sincere sleek " +
  "smart snug solid spry steady stout sunny swift tidy tough tranquil trusty upbeat vivid warm wise witty zesty"
).split(" ");
const vessels = (
  "ark barge bark barque brig caique canoe caravel carrack catboat clipper cog coracle corvette cruiser currach cutter dhow " +
  "dinghy dory dromond drifter felucca ferry flute frigate galleon galley gig gondola hooker hoy hulk junk kayak keelboat ketch " +
  "knarr launch lighter longship lugger packet pinnace piragua polacca pram proa punt raft sampan schooner scow shallop skiff " +
  "skipjack sloop smack snow tartane tender tjalk trawler trimaran tug umiak whaler wherry xebec yacht yawl"
).split(" ");

/** A name nobody chose; later attempts add a digit. */
export function generateName(attempt: number): string {
  const name = `${moods[randomInt(moods.length)]}_${vessels[randomInt(vessels.length)]}`;
  return attempt < 5 ? name : `${name}${randomInt(attempt * 2)}`;
}
