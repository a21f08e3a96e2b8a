/* loadgen.c - SSE load client for relays in front of mockup.c.
 *
 * One thread, epoll, no dependencies.   cc -O2 -o loadgen loadgen.c
 *
 *   loadgen -p PORT [-a ADDR] -P PATH [-X METHOD] [-B BODYFILE | -b BODY] [-h "Name: value"]...
 *           [-n CONCURRENT] [-t TOTAL] [-r RAMP_MS] [-w FROM_MS,TO_MS] [-T TIMEOUT_S]
 *           [-k] [-A TOKENS] [-C MIN_BYTES] [-H HEADERFILE]
 *
 *  -n streams at once (default 1); -t requests in all (default n); -r spreads
 *  the first n starts evenly; -k reuses connections; -A closes a stream after
 *  that many tokens (tests cancellation); -w keeps only latencies of chunks
 *  *sent* in that window after the start (e.g. after the ramp).
 *  -H: one line for each person; its tab-separated headers go with the requests
 *  whose number is the line's, counted round.
 *  Finds "~<16 hex ns>~" tokens in the decoded body, wherever it stands, so the
 *  server may re-emit the events in any format that keeps the token text.
 *  Any request works too (GET pages): then only ttfb/total are of interest.
 *  Prints one JSON object.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef struct { uint32_t *v; size_t n, cap; } vec;
static void push(vec *a, uint64_t x) { if (a->n == a->cap) { a->cap = a->cap ? a->cap * 2 : 4096; a->v = realloc(a->v, a->cap * 4); } a->v[a->n++] = x > 0xfffffffful ? 0xfffffffful : x; }
static int cmp(const void *a, const void *b) { uint32_t x = *(uint32_t *)a, y = *(uint32_t *)b; return x < y ? -1 : x > y; }
static double pct(vec *a, double p) { if (!a->n) return -1; size_t i = (size_t)(p * (a->n - 1) + 0.5); return a->v[i] / 1000.0; }

enum { IDLE, CONNECTING, HEAD, BODY };
typedef struct {
  int fd, st; uint64_t t_start, t_first, t_byte, start_at;
  char head[16384]; int hl; int chunked, status; long clen, got; int cs; unsigned long csz;   /* cs: chunk decoder state */
  int ts; uint64_t tv; long tokens; int eof_ok, done_seen, ds; size_t off; int reused;
  uint64_t last_tok; int who;
} conn;

static int ep; static uint64_t T0; static uint64_t w_from, w_to = ~0ull; static struct sockaddr_in sa;
static char **reqs; static size_t *req_lens; static int n_req; static int keep, abort_after; static long min_bytes;
static long ok, bad_status, bad_early, bad_conn, bad_short, timeouts, issued, total, in_flight, tokens, bytes, aborted_n, last_status, peak, reads_n;
static long want_tokens; static vec lat, ttft, ttfb, dur, gap; static uint64_t t_last;
static conn *cs; static int n_conn;

static uint64_t now_ns(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000ull + t.tv_nsec; }
static void start(conn *c);
static void next(conn *c) {                          /* one request ended: start another, or go idle */
  in_flight--; t_last = now_ns();
  if (issued < total) { start(c); return; }
  if (c->fd >= 0) { close(c->fd); c->fd = -1; } c->st = IDLE;
}
static void fail(conn *c, long *why) { (*why)++; if (c->fd >= 0) close(c->fd); c->fd = -1; next(c); }
static void complete(conn *c, int reusable) {
  push(&dur, (now_ns() - c->t_start) / 1000);
  if (c->t_byte) push(&ttfb, (c->t_byte - c->t_start) / 1000);
  if (c->t_first) push(&ttft, (c->t_first - c->t_start) / 1000);
  if (c->status != 200) { bad_status++; last_status = c->status; }
  else if (want_tokens && c->tokens < want_tokens) bad_short++;
  else if (c->got < min_bytes) bad_short++;
  else ok++;
  if (!keep || !reusable) { close(c->fd); c->fd = -1; }
  next(c);
}
static void send_req(conn *c) {
  c->st = HEAD; c->hl = 0; c->chunked = 0; c->status = 0; c->clen = -1; c->got = 0; c->cs = 0; c->csz = 0; c->ts = 0; c->tokens = 0; c->t_first = c->t_byte = 0; c->last_tok = 0;
  c->off = 0;
  char *req = reqs[c->who]; size_t req_len = req_lens[c->who];
  ssize_t w = write(c->fd, req, req_len);
  if (w < 0) { if (c->reused) { close(c->fd); c->fd = -1; in_flight--; issued--; start(c); } else fail(c, &bad_conn); return; }
  if ((size_t)w < req_len) fail(c, &bad_conn);
}
static void start(conn *c) {
  c->who = issued % n_req; issued++; in_flight++; if (in_flight > peak) peak = in_flight;
  c->t_start = now_ns();
  if (c->fd >= 0) { c->reused = 1; send_req(c); return; }
  c->reused = 0;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (c->fd < 0) { fail(c, &bad_conn); return; }
  int one = 1; setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(c->fd, (void *)&sa, sizeof sa) && errno != EINPROGRESS) { fail(c, &bad_conn); return; }
  c->st = CONNECTING;
  struct epoll_event e = { .events = EPOLLOUT, .data.ptr = c }; epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
}
static int scan(conn *c, const unsigned char *p, size_t n, uint64_t now) {   /* body bytes -> tokens */
  if (!n) return 0;
  if (!c->t_byte) c->t_byte = now;
  c->got += n; bytes += n;
  for (size_t i = 0; i < n; i++) {
    int ch = p[i];
    if (!c->ts) { const unsigned char *q = memchr(p + i, '~', n - i); if (!q) break; i = q - p; c->ts = 1; c->tv = 0; continue; }
    if (c->ts <= 16) {
      int d = ch >= '0' && ch <= '9' ? ch - '0' : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
      if (d < 0) { c->ts = ch == '~' ? 1 : 0; c->tv = 0; continue; }
      c->tv = c->tv << 4 | d; c->ts++; continue;
    }
    if (ch == '~') {
      tokens++; c->tokens++;
      if (!c->t_first) c->t_first = now;
      else if (c->tv >= T0 + w_from && c->tv <= T0 + w_to) push(&gap, (now - c->last_tok) / 1000);
      c->last_tok = now;
      if (c->tv >= T0 + w_from && c->tv <= T0 + w_to && now >= c->tv) push(&lat, (now - c->tv) / 1000);
      if (abort_after && c->tokens >= abort_after) { c->ts = 0; return 1; }
    }
    c->ts = 0;
  }
  return 0;
}
/* 1 = response complete, 2 = abort wanted */
static int body(conn *c, unsigned char *p, size_t n, uint64_t now) {
  if (!c->chunked) { if (scan(c, p, n, now)) return 2; return c->clen >= 0 && c->got >= c->clen; }
  while (n) {
    switch (c->cs) {
      case 0: { int d = *p >= '0' && *p <= '9' ? *p - '0' : (*p | 32) >= 'a' && (*p | 32) <= 'f' ? (*p | 32) - 'a' + 10 : -1; if (d >= 0) c->csz = c->csz << 4 | d; else if (*p == '\n') c->cs = c->csz ? 1 : 4; p++; n--; break; }
      case 1: { size_t k = n < c->csz ? n : c->csz; if (scan(c, p, k, now)) return 2; p += k; n -= k; c->csz -= k; if (!c->csz) c->cs = 2; break; }
      case 2: if (*p == '\n') { c->cs = 0; c->csz = 0; } p++; n--; break;
      case 4: if (*p == '\n') return 1; if (*p != '\r') c->cs = 5; p++; n--; break;   /* after the 0 chunk */
      case 5: if (*p == '\n') c->cs = 4; p++; n--; break;
    }
  }
  return 0;
}
static void on_read(conn *c) {
  static unsigned char buf[262144];
  ssize_t r = read(c->fd, buf, sizeof buf);
  if (r < 0) { if (errno == EAGAIN) return; if (c->reused && c->st == HEAD && !c->hl) { close(c->fd); c->fd = -1; in_flight--; issued--; start(c); return; } fail(c, &bad_early); return; }
  uint64_t now = now_ns(); reads_n++;
  if (r == 0) {
    if (c->st == BODY && !c->chunked && c->clen < 0) complete(c, 0);
    else if (c->reused && c->st == HEAD && !c->hl) { close(c->fd); c->fd = -1; in_flight--; issued--; start(c); }
    else fail(c, &bad_early);
    return;
  }
  unsigned char *p = buf; size_t n = r;
  if (c->st == HEAD) {
    size_t k = n < sizeof c->head - 1 - c->hl ? n : sizeof c->head - 1 - c->hl; int old = c->hl;
    memcpy(c->head + c->hl, p, k); c->hl += k; c->head[c->hl] = 0;
    char *e = strstr(c->head, "\r\n\r\n");
    if (!e) { if (c->hl >= (int)sizeof c->head - 1) fail(c, &bad_early); return; }
    size_t used = e + 4 - c->head - old; e[2] = 0;
    c->status = atoi(c->head + 9);
    c->chunked = strcasestr(c->head, "\r\ntransfer-encoding: chunked") != NULL;
    char *l = strcasestr(c->head, "\r\ncontent-length:"); if (l) c->clen = atol(l + 17);
    c->eof_ok = strcasestr(c->head, "\r\nconnection: close") != NULL || !strncmp(c->head, "HTTP/1.0", 8);
    c->st = BODY; p += used; n -= used;
    if (c->clen == 0 && !c->chunked) { complete(c, !c->eof_ok); return; }
  }
  int b = body(c, p, n, now);
  if (b == 2) { aborted_n++; ok++; if (c->t_first) push(&ttft, (c->t_first - c->t_start) / 1000); close(c->fd); c->fd = -1; next(c); }
  else if (b) complete(c, !c->eof_ok);
}
int main(int argc, char **argv) {
  const char *addr = "127.0.0.1", *path = "/", *method = NULL; char *bodytxt = NULL; const char *people = NULL; int port = 0, o; long ramp = 0, tmo = 60; char hdrs[8192] = "";
  n_conn = 1; total = 0;
  while ((o = getopt(argc, argv, "a:p:P:X:B:b:h:n:t:r:w:T:kA:C:W:H:")) != -1) switch (o) {
    case 'a': addr = optarg; break; case 'p': port = atoi(optarg); break; case 'P': path = optarg; break; case 'X': method = optarg; break;
    case 'b': bodytxt = optarg; break;
    case 'B': { FILE *f = fopen(optarg, "r"); if (!f) { perror(optarg); return 2; } bodytxt = calloc(1, 1 << 20); if (fread(bodytxt, 1, (1 << 20) - 1, f)) {} fclose(f); break; }
    case 'h': strcat(hdrs, optarg); strcat(hdrs, "\r\n"); break;
    case 'n': n_conn = atoi(optarg); break; case 't': total = atol(optarg); break; case 'r': ramp = atol(optarg); break;
    case 'w': { double f, t; sscanf(optarg, "%lf,%lf", &f, &t); w_from = f * 1e6; w_to = t * 1e6; break; }
    case 'T': tmo = atol(optarg); break; case 'k': keep = 1; break; case 'A': abort_after = atoi(optarg); break; case 'C': min_bytes = atol(optarg); break;
    case 'H': people = optarg; break;
    case 'W': want_tokens = atol(optarg); break;
    default: return 2; }
  if (!port) { fprintf(stderr, "need -p\n"); return 2; }
  if (!total) total = n_conn;
  if (!method) method = bodytxt ? "POST" : "GET";
  signal(SIGPIPE, SIG_IGN);
  struct rlimit rl; getrlimit(RLIMIT_NOFILE, &rl); rl.rlim_cur = rl.rlim_max; setrlimit(RLIMIT_NOFILE, &rl);
  size_t bl = bodytxt ? strlen(bodytxt) : 0, line_cap = 0; char *line = NULL; FILE *hf = people ? fopen(people, "r") : NULL;
  if (people && !hf) { perror(people); return 2; }
  do {
    ssize_t ll = hf ? getline(&line, &line_cap, hf) : 0;
    if (hf && ll <= 0) break;
    char own[8192] = "";
    for (char *h = hf ? strtok(line, "\t\n") : NULL; h && strlen(own) + strlen(h) + 3 < sizeof own; h = strtok(NULL, "\t\n")) { strcat(own, h); strcat(own, "\r\n"); }
    char *req = malloc(bl + strlen(hdrs) + strlen(own) + 1024);
    size_t len = sprintf(req, "%s %s HTTP/1.1\r\nHost: %s:%d\r\n%s%s%s", method, path, addr, port, keep ? "" : "Connection: close\r\n", hdrs, own);
    if (bodytxt) len += sprintf(req + len, "%sContent-Length: %zu\r\n", strcasestr(hdrs, "content-type") ? "" : "Content-Type: application/json\r\n", bl);
    len += sprintf(req + len, "\r\n"); if (bl) memcpy(req + len, bodytxt, bl); len += bl;
    reqs = realloc(reqs, (n_req + 1) * sizeof *reqs); req_lens = realloc(req_lens, (n_req + 1) * sizeof *req_lens);
    reqs[n_req] = req; req_lens[n_req++] = len;
  } while (hf);
  if (!n_req) { fprintf(stderr, "nobody in %s\n", people); return 2; }
  sa.sin_family = AF_INET; sa.sin_port = htons(port); inet_pton(AF_INET, addr, &sa.sin_addr);
  ep = epoll_create1(0); cs = calloc(n_conn, sizeof *cs); T0 = now_ns(); t_last = T0;
  for (int i = 0; i < n_conn; i++) { cs[i].fd = -1; cs[i].start_at = T0 + (uint64_t)(ramp * 1e6 * i / n_conn); }
  int started = 0; struct epoll_event ev[512]; uint64_t deadline = T0 + tmo * 1000000000ull;
  for (;;) {
    uint64_t now = now_ns();
    while (started < n_conn && issued < total && cs[started].start_at <= now) start(&cs[started++]);
    if (!in_flight && (issued >= total || started >= n_conn)) break;
    if (now > deadline) { timeouts = in_flight; break; }
    int ms = 50; if (started < n_conn && issued < total) { int64_t d = (int64_t)(cs[started].start_at - now); ms = d < 0 ? 0 : d > 50000000 ? 50 : (int)(d / 1000000); }
    int n = epoll_wait(ep, ev, 512, ms);
    for (int i = 0; i < n; i++) {
      conn *c = ev[i].data.ptr; if (c->fd < 0) continue;
      if (c->st == CONNECTING) {
        int err = 0; socklen_t sl = sizeof err; getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &sl);
        if (err) { fail(c, &bad_conn); continue; }
        struct epoll_event e = { .events = EPOLLIN, .data.ptr = c }; epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
        send_req(c); continue;
      }
      on_read(c);
    }
  }
  double wall = (t_last - T0) / 1e9; struct rusage ru; getrusage(RUSAGE_SELF, &ru);
  vec *all[] = { &lat, &ttft, &ttfb, &dur, &gap }; const char *nm[] = { "lat", "ttft", "ttfb", "dur", "gap" };
  printf("{\"ok\":%ld,\"bad_status\":%ld,\"last_bad\":%ld,\"bad_early\":%ld,\"bad_conn\":%ld,\"bad_short\":%ld,\"timeouts\":%ld,\"aborted\":%ld,\"peak\":%ld,\"tokens\":%ld,\"bytes\":%ld,\"reads\":%ld,\"wall_s\":%.3f,\"tok_per_s\":%.0f,\"req_per_s\":%.1f,\"client_cpu_s\":%.2f",
    ok, bad_status, last_status, bad_early, bad_conn, bad_short, timeouts, aborted_n, peak, tokens, bytes, reads_n, wall, wall > 0 ? tokens / wall : 0, wall > 0 ? issued / wall : 0,
    ru.ru_utime.tv_sec + ru.ru_stime.tv_sec + (ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6);
  for (int i = 0; i < 5; i++) { vec *a = all[i]; qsort(a->v, a->n, 4, cmp);
    printf(",\"%s_ms\":{\"n\":%zu,\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f}", nm[i], a->n, pct(a, .5), pct(a, .9), pct(a, .99), pct(a, .999), pct(a, 1)); }
  printf("}\n");
  return 0;
}
