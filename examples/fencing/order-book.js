// The resource: an order book that takes no order of a bot that has lost its place to another one. It
// remembers the greatest token that it has seen, and refuses a smaller one: in the same statement that
// writes, so that nothing can come in between.

export const TABLES = `
  CREATE TABLE IF NOT EXISTS book (id int PRIMARY KEY, token bigint NOT NULL);
  CREATE TABLE IF NOT EXISTS orders (id serial PRIMARY KEY, bot text, token bigint, text text);
  INSERT INTO book VALUES (1, 0) ON CONFLICT DO NOTHING`;

const PLACE = `
  WITH accepted AS (UPDATE book SET token = $2 WHERE id = 1 AND token <= $2 RETURNING token)
  INSERT INTO orders (bot, token, text) SELECT $1, token, $3 FROM accepted RETURNING id`;

/** Whether the order book took it. */
export async function placeOrder(client, bot, token, text) {
  const { rowCount } = await client.query(PLACE, [bot, String(token), text]);
  return rowCount === 1;
}
