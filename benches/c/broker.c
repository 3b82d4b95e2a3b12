// A Majordomo 0.1 broker on libzmq: `broker ENDPOINT`. One thread, one ROUTER; a queue in order of arrival and the least
// recently used worker for each service; heartbeats both ways; `mmi.service`.

#include "common.h"

#define BUCKETS 4096 // a power of two
#define TICK 500000 // how often silent workers are looked for, in microseconds
#define MOST_QUEUED 10000 // requests a service

typedef struct name {
    size_t size;
    uint8_t *bytes;
} name_t;

typedef struct request {
    struct request *next;
    message_t message; // as it came: the client, an empty frame, the header, the service, the body
} request_t;

typedef struct worker {
    name_t identity;
    struct service *service;
    struct worker *chained; // the next one in the same bucket
    struct worker *before, *after; // neighbours in the queue of idle workers
    struct worker *older, *newer; // neighbours among all workers
    bool busy;
    uint8_t client[255]; // whose request it holds
    size_t client_size;
    int64_t expires;
    int64_t told; // when it was sent something
} worker_t;

typedef struct service {
    name_t name;
    struct service *chained;
    request_t *first, *last;
    int queued;
    worker_t *idle_first, *idle_last;
    int workers;
} service_t;

static void *router;
static worker_t *workers[BUCKETS];
static service_t *services[BUCKETS];
static worker_t *oldest, *newest;
static int64_t time_now; // when the message at hand came

static size_t bucket(const void *bytes, size_t size)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t index = 0; index < size; index++)
        hash = (hash ^ ((const uint8_t *)bytes)[index]) * 1099511628211u;
    return (hash ^ hash >> 32) & (BUCKETS - 1);
}

static void *allocate(size_t size)
{
    void *memory = calloc(1, size);
    if (memory == NULL)
        fail("calloc");
    return memory;
}

static name_t name_of(message_t *message, int index)
{
    name_t name = { frame_size(message, index), allocate(frame_size(message, index) + 1) };
    memcpy(name.bytes, frame_data(message, index), name.size);
    return name;
}

static bool same(const name_t *name, const void *bytes, size_t size)
{
    return name->size == size && memcmp(name->bytes, bytes, size) == 0;
}

static worker_t *find_worker(message_t *message)
{
    const void *bytes = frame_data(message, 0);
    size_t size = frame_size(message, 0);
    worker_t *worker = workers[bucket(bytes, size)];
    while (worker != NULL && !same(&worker->identity, bytes, size))
        worker = worker->chained;
    return worker;
}

static service_t *find_service(const void *bytes, size_t size)
{
    service_t *service = services[bucket(bytes, size)];
    while (service != NULL && !same(&service->name, bytes, size))
        service = service->chained;
    return service;
}

static service_t *require_service(message_t *message, int index)
{
    service_t *service = find_service(frame_data(message, index), frame_size(message, index));
    if (service == NULL) {
        service = allocate(sizeof *service);
        service->name = name_of(message, index);
        service_t **chain = &services[bucket(service->name.bytes, service->name.size)];
        service->chained = *chain;
        *chain = service;
    }
    return service;
}

// Begins a message to a worker: its identity, the empty frame, the header and the command.
static bool begin_command(const void *identity, size_t size, uint8_t command, int flags)
{
    return send_bytes(router, identity, size, ZMQ_SNDMORE) && send_bytes(router, "", 0, ZMQ_SNDMORE)
        && send_bytes(router, WORKER_HEADER, HEADER_LENGTH, ZMQ_SNDMORE) && send_bytes(router, &command, 1, flags);
}

static void push_idle(worker_t *worker)
{
    service_t *service = worker->service;
    worker->busy = false;
    worker->after = NULL;
    worker->before = service->idle_last;
    if (service->idle_last != NULL)
        service->idle_last->after = worker;
    else
        service->idle_first = worker;
    service->idle_last = worker;
}

static void unlink_idle(worker_t *worker)
{
    service_t *service = worker->service;
    *(worker->before != NULL ? &worker->before->after : &service->idle_first) = worker->after;
    *(worker->after != NULL ? &worker->after->before : &service->idle_last) = worker->before;
}

static void delete_worker(worker_t *worker)
{
    if (!worker->busy)
        unlink_idle(worker);
    *(worker->older != NULL ? &worker->older->newer : &oldest) = worker->newer;
    *(worker->newer != NULL ? &worker->newer->older : &newest) = worker->older;
    worker_t **link = &workers[bucket(worker->identity.bytes, worker->identity.size)];
    while (*link != worker)
        link = &(*link)->chained;
    *link = worker->chained;
    worker->service->workers--;
    free(worker->identity.bytes);
    free(worker);
}

// Tells a peer to go, and forgets it where it is a worker.
static void disconnect(message_t *message, worker_t *worker)
{
    begin_command(frame_data(message, 0), frame_size(message, 0), DISCONNECT, 0);
    if (worker != NULL)
        delete_worker(worker);
}

static void hand_over(worker_t *worker, message_t *request)
{
    worker->busy = true;
    worker->told = time_now;
    worker->client_size = frame_size(request, 0);
    memcpy(worker->client, frame_data(request, 0), worker->client_size);
    if (begin_command(worker->identity.bytes, worker->identity.size, REQUEST, ZMQ_SNDMORE)
        && send_bytes(router, worker->client, worker->client_size, ZMQ_SNDMORE)
        && send_bytes(router, "", 0, ZMQ_SNDMORE))
        send_rest(router, request, 4);
    message_close(request);
}

// The worker has nothing to do: it takes the oldest request, or its place behind the other idle ones.
static void becomes_idle(worker_t *worker)
{
    service_t *service = worker->service;
    request_t *request = service->first;
    if (request == NULL) {
        push_idle(worker);
        return;
    }
    service->first = request->next;
    if (service->first == NULL)
        service->last = NULL;
    service->queued--;
    hand_over(worker, &request->message);
    free(request);
}

static void answer_management(message_t *message)
{
    const char *code = "501";
    if (frame_is(message, 3, "mmi.service", 11)) {
        service_t *service = find_service(frame_data(message, 4), frame_size(message, 4));
        code = service != NULL && service->workers > 0 ? "200" : "404";
    }
    for (int index = 0; index < 4; index++)
        zmq_msg_send(&message->frames[index], router, ZMQ_SNDMORE);
    send_bytes(router, code, 3, 0);
}

static void from_client(message_t *message)
{
    if (message->count < 5 || frame_size(message, 3) == 0)
        return;
    if (frame_size(message, 3) > 4 && memcmp(frame_data(message, 3), "mmi.", 4) == 0) {
        answer_management(message);
        return;
    }
    service_t *service = require_service(message, 3);
    worker_t *worker = service->idle_first;
    if (worker != NULL) {
        unlink_idle(worker);
        hand_over(worker, message);
        return;
    }
    if (service->queued == MOST_QUEUED)
        return;
    request_t *request = allocate(sizeof *request);
    request->message.count = message->count;
    for (int index = 0; index < message->count; index++) {
        zmq_msg_init(&request->message.frames[index]);
        zmq_msg_move(&request->message.frames[index], &message->frames[index]);
    }
    *(service->last != NULL ? &service->last->next : &service->first) = request;
    service->last = request;
    service->queued++;
}

static void register_worker(message_t *message)
{
    worker_t *worker = allocate(sizeof *worker);
    worker->identity = name_of(message, 0);
    worker->service = require_service(message, 4);
    worker->service->workers++;
    worker->told = time_now;
    worker->expires = time_now + HEARTBEAT_INTERVAL * HEARTBEAT_LIVENESS;
    worker_t **chain = &workers[bucket(worker->identity.bytes, worker->identity.size)];
    worker->chained = *chain;
    *chain = worker;
    worker->older = newest;
    *(newest != NULL ? &newest->newer : &oldest) = worker;
    newest = worker;
    becomes_idle(worker);
}

// Sends the client what its worker has replied: the worker's body behind the client's header and the service's name.
static void forward_reply(worker_t *worker, message_t *message)
{
    if (send_bytes(router, worker->client, worker->client_size, ZMQ_SNDMORE)
        && send_bytes(router, "", 0, ZMQ_SNDMORE)
        && send_bytes(router, CLIENT_HEADER, HEADER_LENGTH, ZMQ_SNDMORE)
        && send_bytes(router, worker->service->name.bytes, worker->service->name.size, ZMQ_SNDMORE))
        send_rest(router, message, 6);
}

static void from_worker(message_t *message)
{
    worker_t *worker = find_worker(message);
    uint8_t command = message->count > 3 && frame_size(message, 3) == 1 ? *(const uint8_t *)frame_data(message, 3) : 0;
    if (worker != NULL)
        worker->expires = time_now + HEARTBEAT_INTERVAL * HEARTBEAT_LIVENESS;
    switch (command) {
    case READY:
        if (worker == NULL && message->count == 5 && frame_size(message, 4) > 0
            && !(frame_size(message, 4) >= 4 && memcmp(frame_data(message, 4), "mmi.", 4) == 0))
            register_worker(message);
        else
            disconnect(message, worker);
        break;
    case REPLY:
        if (worker != NULL && worker->busy && message->count >= 7
            && frame_is(message, 4, worker->client, worker->client_size) && frame_size(message, 5) == 0) {
            forward_reply(worker, message);
            becomes_idle(worker);
        } else {
            disconnect(message, worker);
        }
        break;
    case HEARTBEAT:
        if (worker == NULL || message->count != 4)
            disconnect(message, worker);
        break;
    case DISCONNECT:
        if (worker != NULL)
            delete_worker(worker);
        break;
    default:
        disconnect(message, worker);
    }
}

static void receive(message_t *message)
{
    // The identity, the empty frame, the header, and something to go with it.
    if (message->count < 4 || frame_size(message, 1) != 0)
        return;
    if (frame_is(message, 2, CLIENT_HEADER, HEADER_LENGTH))
        from_client(message);
    else if (frame_is(message, 2, WORKER_HEADER, HEADER_LENGTH))
        from_worker(message);
}

static void tick(void)
{
    for (worker_t *worker = oldest, *next; worker != NULL; worker = next) {
        next = worker->newer;
        if (worker->expires <= time_now) {
            delete_worker(worker);
        } else if (time_now - worker->told >= HEARTBEAT_INTERVAL) {
            begin_command(worker->identity.bytes, worker->identity.size, HEARTBEAT, 0);
            worker->told = time_now;
        }
    }
}

int main(int count, char **words)
{
    if (count != 2) {
        fprintf(stderr, "usage: %s ENDPOINT\n", words[0]);
        return 2;
    }
    end_with_parent();
    router = zmq_socket(new_context(), ZMQ_ROUTER);
    if (router == NULL)
        fail("zmq_socket");
    set_option(router, ZMQ_RCVTIMEO, TICK / 1000);
    set_option(router, ZMQ_LINGER, 0);
    set_option(router, ZMQ_BACKLOG, 4096);
    if (zmq_bind(router, words[1]) != 0)
        fail(words[1]);
    char endpoint[256];
    size_t size = sizeof endpoint;
    if (zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, endpoint, &size) != 0)
        fail("zmq_getsockopt");
    printf("listening on %s\n", endpoint);
    fflush(stdout);

    message_t message;
    int64_t next_tick = now() + TICK;
    for (;;) {
        bool received = message_receive(&message, router, 0);
        time_now = now();
        if (received) {
            receive(&message);
            message_close(&message);
        }
        if (time_now >= next_tick) {
            tick();
            next_tick = time_now + TICK;
        }
    }
}
