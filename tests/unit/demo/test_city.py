"""The seeded city."""

from app.orders import document
from infra.demo import arrivals, city


def test_the_same_seed_gives_the_same_orders_byte_for_byte():
    first = list(city.orders(city.city(7), 200, failure_rate=0.1))
    second = list(city.orders(city.city(7), 200, failure_rate=0.1))

    assert first == second
    assert first != list(city.orders(city.city(8), 200, failure_rate=0.1))


def test_every_order_is_a_valid_document_whose_sums_add_up():
    for order in city.orders(city.city(1), 500, failure_rate=0.2):
        assert document.decode(order.body).currency == "BHD"


def test_orders_name_restaurants_of_the_city():
    place = city.city(1)

    named = {document.decode(order.body).restaurant_id for order in city.orders(place, 300)}

    assert named <= {restaurant.id for restaurant in place.restaurants}


def test_half_of_the_failing_orders_are_refused_by_payment_and_half_by_every_partner():
    orders = [document.decode(order.body) for order in city.orders(city.city(1), 400, failure_rate=0.1)]

    by_payment = [order for order in orders if order.customer_id.endswith(city.REFUSED_BY_PAYMENT)]
    by_partners = [order for order in orders if order.customer_id.endswith(city.REFUSED_BY_PARTNERS)]

    assert (len(by_payment), len(by_partners)) == (20, 20)
    assert {order.channel_preference for order in by_partners} == {"partner"}


def test_everything_lies_within_a_city_in_bahrain():
    place = city.city(1)

    for lat, lng in [*(r.at for r in place.restaurants), *(c.at for c in place.couriers)]:
        assert 26.0 < lat < 26.5
        assert 50.3 < lng < 50.9


def test_lunch_rises_to_its_peak_and_falls():
    offsets = arrivals.lunch(6_000, seconds=60, seed=1)

    by_quarter = [sum(begin <= offset < begin + 15 for offset in offsets) for begin in (0, 15, 30, 45)]
    assert list(offsets) == sorted(offsets)
    assert offsets[0] >= 0
    assert offsets[-1] <= 60
    assert by_quarter[1] > 2 * by_quarter[0]
    assert by_quarter[1] > 2 * by_quarter[3]


def test_evenly_spaced_orders_keep_their_rate():
    assert list(arrivals.evenly(4, rate=2)) == [0, 0.5, 1, 1.5]
